// What LAMMPS calls when it loads this library: registers the pair styles.
#include "lammps.h"
#include "pair_mtp.hpp"

namespace {

/// The agreement between LAMMPS and its plugins (lammpsplugin.h, which not every LAMMPS ships).
struct Plugin {
    const char *version, *style, *name, *info, *author;
    void* (*create)(void*);
    void* handle;
};
using Register = void (*)(Plugin*, void*);

template <class Style>
void* create(void* lmp) {
    return static_cast<LAMMPS_NS::Pair*>(new Style(static_cast<LAMMPS_NS::LAMMPS*>(lmp)));
}

}  // namespace

extern "C" void lammpsplugin_init(void* lmp, void* handle, void* registration) {
    Plugin plugin{static_cast<LAMMPS_NS::LAMMPS*>(lmp)->version,
                  "pair",
                  "mtp",
                  "Moment Tensor Potentials of mentor",
                  "the mentor developers",
                  create<mentor::lammps::PairMTP>,
                  handle};
    const auto add = reinterpret_cast<Register>(registration);
    add(&plugin, lmp);
}
