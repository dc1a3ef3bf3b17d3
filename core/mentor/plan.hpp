// The contraction plan: the cheapest program found for the scalars of a schedule.
//
// A scalar contracts up to four symmetric tensors M_{mu,nu}. On the unit sphere these hold the
// harmonics h_{mu,l} of degrees l = nu, nu - 2, ... and nothing else, so every scalar is a sum of
// invariants of harmonics: h_00; h_l . h_l; (h h)_l . h_l; (h h)_L . (h h)_L, with (h_1 h_2)_L
// their coupled tensor of degree L. There are as many as scalars, but they share few coupled
// tensors, of 2L + 1 components where Cartesian ones have hundreds, and with the coefficients known
// the sum over all invariants is one quadratic form.
//
// The planner takes the invariants content by content, a content being the (mu, l) of the factors.
// Of the ways to pair the factors it takes the one that costs least, given the tensors already
// there, and of its invariants those that are independent. The coefficients W of the scalars follow
// by least squares from random moments; a schedule that is no sum of invariants is run as it is.
#pragma once

#include <map>
#include <memory>
#include <random>
#include <set>
#include <tuple>

#include "harmonics.hpp"
#include "least_squares.hpp"
#include "products.hpp"
#include "schedule.hpp"

namespace mentor {

class Planner {
  public:
    explicit Planner(const Schedule& schedule) : schedule_(schedule) {}

    /// The plan, or an unplanned program of the schedule itself where there is none.
    Program operator()() {
        Program plain = schedule_.program();
        if (!contents_of_scalars()) return plain;
        sample();
        for (int pass = 0; pass < passes; ++pass)
            for (const Content& content : needed_) choose(content);
        for (const auto& [content, ways] : chosen_)
            ways_.insert(ways_.end(), ways.begin(), ways.end());
        if (!solve(plain)) return plain;
        return program();
    }

  private:
    using Factor = std::pair<int, int>;            // (mu, l)
    using Content = std::vector<Factor>;           // sorted
    using Pair = std::tuple<Factor, Factor, int>;  // the tensor (h_1 h_2)_L, h_1 <= h_2
    struct Way {                                   // an invariant: tensors by their pairs
        Content content;
        std::vector<Pair> pairs;
        std::vector<Factor> singles;
        int degree = 0;
    };

    static constexpr int passes = 4;  // through all contents, each choice knowing the others

    const Schedule& schedule_;
    std::vector<Content> scalar_contents_;
    std::set<Content> needed_;
    int samples_ = 0;
    std::map<Factor, Columns> harmonics_;  // values [2l + 1][samples]
    std::map<Pair, Columns> tensors_;
    std::map<Content, std::vector<Way>> chosen_;
    std::map<Pair, int> uses_;  // of a tensor by chosen invariants
    std::map<std::pair<Factor, Factor>, int> product_uses_;
    std::vector<Way> ways_;
    std::vector<std::vector<Term>> scalars_;
    Columns moments_;  // random ones, [moment][sample]

    // ---- contents

    /// The factors of every scalar, and all contents with lower harmonics; false if there are none.
    bool contents_of_scalars() {
        std::vector<Content> contents(schedule_.moments);
        for (size_t i = 0; i < schedule_.basic.size(); ++i) {
            const auto& [mu, a, b, c] = schedule_.basic[i];
            contents[i] = {{mu, a + b + c}};
        }
        for (const auto& [i, j, m, k] : schedule_.times) {
            Content both = contents[i];
            both.insert(both.end(), contents[j].begin(), contents[j].end());
            std::sort(both.begin(), both.end());
            if (both.empty() || both.size() > 4) return false;
            if (!contents[k].empty() && contents[k] != both) return false;
            contents[k] = both;
        }
        for (int k : schedule_.mapping) {
            if (contents[k].empty()) return false;
            scalar_contents_.push_back(contents[k]);
            lower(contents[k], 0, {});
        }
        return true;
    }

    void lower(const Content& content, size_t next, Content harmonics) {
        if (next == content.size()) {
            std::sort(harmonics.begin(), harmonics.end());
            needed_.insert(harmonics);
            return;
        }
        const auto& [mu, nu] = content[next];
        for (int l = nu; l >= 0; l -= 2) {
            harmonics.push_back({mu, l});
            lower(content, next + 1, harmonics);
            harmonics.pop_back();
        }
    }

    /// Contents of one group only mix with each other.
    static Content group(const Content& content) {
        Content key;
        for (const auto& [mu, l] : content) key.push_back({mu, l % 2});
        std::sort(key.begin(), key.end());
        return key;
    }

    // ---- values for random moments

    void sample() {
        std::map<Content, int> most;  // invariants there may be in each group
        for (const Content& content : needed_) {
            int smallest = 1;
            if (content.size() == 4) {
                std::vector<int> degrees;
                for (const auto& factor : content) degrees.push_back(factor.second);
                smallest = 2 * *std::min_element(degrees.begin(), degrees.end()) + 1;
            }
            samples_ = std::max(samples_, most[group(content)] += smallest);
        }
        samples_ += 32;
        std::mt19937_64 random(1);
        std::normal_distribution<double> normal;
        moments_.assign(schedule_.reduced_count(), std::vector<double>(samples_));
        for (auto& each : moments_)
            for (double& x : each) x = normal(random);
    }

    const Columns& harmonics(const Factor& factor) {
        Columns& values = harmonics_[factor];
        for (int place = 0; values.size() < 2 * static_cast<size_t>(factor.second) + 1; ++place) {
            std::vector<double> sum(samples_, 0.0);
            for (const auto& [index, coefficient] : harmonic(factor.second, place)) {
                const auto& M = moments_[schedule_.reduced_begin[factor.first] + index];
                for (int s = 0; s < samples_; ++s) sum[s] += coefficient * M[s];
            }
            values.push_back(std::move(sum));
        }
        return values;
    }

    static const std::vector<std::vector<Term>>& sums_of(int l1, int l2, int L) {
        static thread_local std::map<std::array<int, 3>, std::vector<std::vector<Term>>> known;
        auto [place, fresh] = known.try_emplace({l1, l2, L});
        if (fresh) place->second = coupled_sums(l1, l2, L);
        return place->second;
    }

    const Columns& tensor(const Pair& pair) {
        Columns& values = tensors_[pair];
        if (!values.empty()) return values;
        const auto& [one, two, L] = pair;
        const Columns &left = harmonics(one), &right = harmonics(two);
        const int n_left = 2 * one.second + 1, n_right = 2 * two.second + 1;
        std::vector<double> u(n_left), v(n_right), products(n_left * n_right);
        values.assign(2 * L + 1, std::vector<double>(samples_, 0.0));
        for (int s = 0; s < samples_; ++s) {
            for (int a = 0; a < n_left; ++a) u[a] = left[a][s];
            for (int b = 0; b < n_right; ++b) v[b] = right[b][s];
            multiply(u.data(), n_left, v.data(), n_right, products.data());
            for (int component = 0; component <= 2 * L; ++component)
                for (const auto& term : sums_of(one.second, two.second, L)[component])
                    values[component][s] += term.factor * products[term.source];
        }
        return values;
    }

    std::vector<double> value(const Way& way) {
        const Columns& left = way.pairs.empty() ? harmonics(way.singles[0]) : tensor(way.pairs[0]);
        if (way.pairs.empty() && way.singles.size() == 1) return left[0];
        const Columns& right =
            way.pairs.size() == 2 ? tensor(way.pairs[1]) : harmonics(way.singles.back());
        std::vector<double> sum(samples_, 0.0);
        for (size_t component = 0; component < left.size(); ++component)
            for (int s = 0; s < samples_; ++s) sum[s] += left[component][s] * right[component][s];
        return sum;
    }

    // ---- choice of invariants

    static Pair make_pair_tensor(Factor one, Factor two, int L) {
        if (two < one) std::swap(one, two);
        return {one, two, L};
    }

    int64_t cost(const Pair& pair) const {
        const auto used = [](const auto& uses, const auto& key) {
            const auto found = uses.find(key);
            return found != uses.end() && found->second > 0;
        };
        if (used(uses_, pair)) return 0;
        const auto& [one, two, L] = pair;
        if (one.second == 0 || two.second == 0) return 3 * (2 * L + 1);
        const int64_t products = (2 * one.second + 1) * (2 * two.second + 1);
        int64_t terms = 0;
        for (const auto& sum : sums_of(one.second, two.second, L)) terms += sum.size();
        return 2 * terms + (used(product_uses_, std::make_pair(one, two)) ? 0 : 3 * products);
    }
    int64_t cost(const Way& way) const {
        int64_t sum = 2 * (2 * way.degree + 1);
        for (const Pair& pair : way.pairs) sum += cost(pair);
        return sum;
    }

    /// The invariants of `content` for each way to pair its factors.
    std::vector<std::vector<Way>> possibilities(const Content& f) const {
        std::vector<std::vector<Way>> found;
        if (f.size() == 1 && f[0].second == 0) found.push_back({{f, {}, {f[0]}, 0}});
        if (f.size() == 2 && f[0].second == f[1].second)
            found.push_back({{f, {}, {f[0], f[1]}, f[0].second}});
        if (f.size() == 3)
            for (int last = 0; last < 3; ++last) {
                const Factor &one = f[last == 0 ? 1 : 0], &two = f[last == 2 ? 1 : 2];
                const int L = f[last].second;
                if (L >= std::abs(one.second - two.second) && L <= one.second + two.second)
                    found.push_back({{f, {make_pair_tensor(one, two, L)}, {f[last]}, L}});
            }
        if (f.size() == 4)
            for (int other = 1; other < 4; ++other) {
                const Factor &one = f[0], &two = f[other];
                const Factor &three = f[other == 1 ? 2 : 1], &four = f[other == 3 ? 2 : 3];
                const int low = std::max(std::abs(one.second - two.second),
                                         std::abs(three.second - four.second));
                const int high = std::min(one.second + two.second, three.second + four.second);
                std::vector<Way> ways;
                for (int L = low; L <= high; ++L)
                    ways.push_back(
                        {f,
                         {make_pair_tensor(one, two, L), make_pair_tensor(three, four, L)},
                         {},
                         L});
                found.push_back(std::move(ways));
            }
        return found;
    }

    /// Whether a tensor is coupled with itself to an odd degree, as in a vector product.
    static bool vanishes(const Way& way) {
        for (const auto& [one, two, L] : way.pairs)
            if (one == two && L % 2) return true;
        return false;
    }

    /// Take the cheapest independent invariants of `content`, in place of those it had.
    void choose(const Content& content) {
        count_uses(chosen_[content], -1);
        std::vector<Way> best;
        int64_t least = -1;
        for (auto& ways : possibilities(content)) {
            std::stable_sort(ways.begin(), ways.end(),
                             [&](const Way& a, const Way& b) { return cost(a) < cost(b); });
            Orthonormal space;
            std::vector<Way> kept;
            int64_t total = 0;
            for (Way& way : ways) {
                if (vanishes(way)) continue;
                std::vector<double> values = value(way);
                values.resize(std::min<size_t>(values.size(), ways.size() + 24));
                if (!space.add(std::move(values))) continue;
                total += cost(way);
                kept.push_back(std::move(way));
            }
            if (kept.empty() || (least >= 0 && total >= least)) continue;
            least = total;
            best = std::move(kept);
        }
        count_uses(best, 1);
        chosen_[content] = std::move(best);
    }

    void count_uses(const std::vector<Way>& ways, int change) {
        for (const Way& way : ways)
            for (const Pair& pair : way.pairs) {
                uses_[pair] += change;
                product_uses_[{std::get<0>(pair), std::get<1>(pair)}] += change;
            }
    }

    // ---- coefficients

    /// W, group by group; false if the scalars are no sums of the invariants.
    bool solve(const Program& plain) {
        constexpr double tolerance = 1e-9, negligible = 1e-11;
        const Columns values = plain_values(plain);
        std::map<Content, std::vector<int>> of_group;
        for (size_t w = 0; w < ways_.size(); ++w)
            of_group[group(ways_[w].content)].push_back(static_cast<int>(w));
        std::map<Content, std::vector<int>> scalars_of;
        for (size_t a = 0; a < scalar_contents_.size(); ++a)
            scalars_of[group(scalar_contents_[a])].push_back(static_cast<int>(a));
        scalars_.resize(scalar_contents_.size());
        for (const auto& [key, members] : scalars_of) {
            Columns A, Y;
            for (int w : of_group[key]) A.push_back(value(ways_[w]));
            for (int a : members) Y.push_back(values[a]);
            double residual = 0;
            const Columns X = least_squares(std::move(A), std::move(Y), residual);
            if (!(residual <= tolerance)) return false;
            for (size_t y = 0; y < members.size(); ++y)
                for (size_t c = 0; c < X[y].size(); ++c)
                    if (std::abs(X[y][c]) > negligible)
                        scalars_[members[y]].push_back({of_group[key][c], X[y][c]});
        }
        return true;
    }

    /// The scalars for the random moments, by the schedule: [scalar][sample].
    Columns plain_values(const Program& plain) const {
        Columns S(plain.slot_count, std::vector<double>(samples_, 0.0));
        std::copy(moments_.begin(), moments_.end(), S.begin());
        for (const auto& row : plain.tensors.rows)
            for (int t = row.begin; t < row.end; ++t) {
                const int source = plain.tensors.sources[t];
                const double factor = plain.tensors.factors.doubles[t];
                for (int s = 0; s < samples_; ++s) S[row.target][s] += factor * S[source][s];
            }
        for (const Target& target : plain.targets)
            for (int p = target.begin; p < target.end; ++p) {
                const Product& x = plain.products[p];
                for (int s = 0; s < samples_; ++s)
                    S[target.target][s] += x.factor * S[x.left][s] * S[x.right][s];
            }
        Columns values;
        for (const Invariant& each : plain.invariants) values.push_back(S[each.left]);
        return values;
    }

    // ---- the program

    Program program() {
        Program plan;
        plan.planned = true;
        plan.moment_count = schedule_.reduced_count();
        std::vector<char> used(ways_.size(), 0);
        for (const auto& sum : scalars_)
            for (const auto& term : sum) used[term.source] = 1;
        std::set<Factor> factors;
        std::set<Pair> pairs;
        for (size_t w = 0; w < ways_.size(); ++w) {
            if (!used[w]) continue;
            for (const Factor& factor : ways_[w].content) factors.insert(factor);
            for (const Pair& pair : ways_[w].pairs) pairs.insert(pair);
        }
        int slot = plan.moment_count;
        std::map<Factor, int> harmonic_slot;
        std::vector<Sum> tensors;
        for (const Factor& factor : factors) {
            harmonic_slot[factor] = slot;
            for (int place = 0; place <= 2 * factor.second; ++place) {
                Sum sum{slot++, {}};
                for (const auto& [index, coefficient] : harmonic(factor.second, place))
                    sum.terms.push_back(
                        {schedule_.reduced_begin[factor.first] + index, coefficient});
                tensors.push_back(std::move(sum));
            }
        }
        plan.tensors.add(std::move(tensors));
        plan.pair_begin = slot;
        std::map<Pair, int> pair_slot;
        for (const Pair& pair : pairs) {
            pair_slot[pair] = slot;
            slot += 2 * std::get<2>(pair) + 1;
        }
        plan.slot_count = slot;
        couple(plan, pairs, harmonic_slot, pair_slot);
        std::vector<int> number(ways_.size(), -1);
        for (size_t w = 0; w < ways_.size(); ++w) {
            if (!used[w]) continue;
            const Way& way = ways_[w];
            std::vector<int> ends;
            for (const Pair& pair : way.pairs) ends.push_back(pair_slot[pair]);
            for (const Factor& factor : way.singles) ends.push_back(harmonic_slot[factor]);
            number[w] = plan.size();
            plan.invariants.push_back(
                {ends[0], ends.size() == 2 ? ends[1] : -1, 2 * way.degree + 1});
        }
        for (auto& sum : scalars_) {
            for (auto& term : sum) term.source = number[term.source];
            plan.scalars.push_back(sum);
        }
        plan.finish();
        return plan;
    }

    /// The couplings of each two harmonics, to all degrees wanted.
    static void couple(Program& plan, const std::set<Pair>& pairs,
                       const std::map<Factor, int>& harmonic_slot,
                       const std::map<Pair, int>& pair_slot) {
        for (auto pair = pairs.begin(); pair != pairs.end();) {
            const auto [one, two, first_L] = *pair;
            Coupling all{harmonic_slot.at(one), 2 * one.second + 1,  harmonic_slot.at(two),
                         2 * two.second + 1,    pair_slot.at(*pair), plan.combine.size(),
                         plan.combine.size(),   plan.spread.size()};
            std::vector<Sum> rows;
            for (; pair != pairs.end() && std::get<0>(*pair) == one && std::get<1>(*pair) == two;
                 ++pair) {
                if (all.is_product()) continue;
                const int L = std::get<2>(*pair);
                const auto& sums = sums_of(one.second, two.second, L);
                for (int component = 0; component <= 2 * L; ++component)
                    rows.push_back({pair_slot.at(*pair) + component, sums[component]});
            }
            plan.combine.add(std::move(rows));
            all.end = plan.combine.size();
            if (!all.is_product())
                plan.combine.transpose(all.begin, all.end, all.products(), plan.spread);
            plan.couplings.push_back(all);
        }
    }
};

}  // namespace mentor
