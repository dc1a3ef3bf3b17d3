#include "frame.hpp"

#include <algorithm>
#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <numeric>

namespace mentor::lammps {

std::string append(Frame& frame, const std::string& path) {
    std::FILE* file = std::fopen(path.c_str(), "a");
    if (!file) return path + ": cannot be written (" + std::strerror(errno) + ")";
    const size_t count = frame.atoms.size() / frame_columns;
    std::vector<size_t> order(count);
    std::iota(order.begin(), order.end(), size_t{0});
    const double* atoms = frame.atoms.data();
    std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
        return atoms[frame_columns * a] < atoms[frame_columns * b];
    });
    std::fprintf(file, "%zu\nLattice=\"", count);
    for (int i = 0; i < 9; ++i)
        std::fprintf(file, "%s%.17g", i ? " " : "", frame.cell[i / 3][i % 3]);
    const char* T[3];
    for (int d = 0; d < 3; ++d) T[d] = frame.periodic[d] ? "T" : "F";
    std::fprintf(file,
                 "\" Properties=species:S:1:pos:R:3:grades:R:1 step=%" PRId64
                 " max_grade=%.10g pbc=\"%s %s %s\"\n",
                 frame.step, frame.max_grade, T[0], T[1], T[2]);
    for (size_t n : order) {
        const double* a = atoms + frame_columns * n;
        std::fprintf(file, "%s %.17g %.17g %.17g %.10g\n",
                     frame.elements[static_cast<size_t>(a[1]) - 1].c_str(), a[2], a[3], a[4], a[5]);
    }
    const bool failed = std::ferror(file) != 0;
    if (std::fclose(file) != 0 || failed)
        return path + ": cannot be written to its end (" + std::strerror(errno) + ")";
    return "";
}

}  // namespace mentor::lammps
