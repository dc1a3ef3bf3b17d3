// What LAMMPS calls when it loads this library: registers the pair styles.
#include "lammps.h"
#include "pair_mtp_extrapolation.hpp"

namespace {

/// The agreement between LAMMPS and its plugins (lammpsplugin.h, which not every LAMMPS ships).
struct Plugin {
    const char *version, *style, *name, *info, *author;
    void* (*create)(void*);
    void* handle;
};
using Register = void (*)(Plugin*, void*);

template <class Style>
void add(const char* name, void* lmp, void* handle, void* registration) {
    Plugin plugin{static_cast<LAMMPS_NS::LAMMPS*>(lmp)->version,
                  "pair",
                  name,
                  "Moment Tensor Potentials of mentor",
                  "the mentor developers",
                  [](void* instance) -> void* {
                      return static_cast<LAMMPS_NS::Pair*>(
                          new Style(static_cast<LAMMPS_NS::LAMMPS*>(instance)));
                  },
                  handle};
    reinterpret_cast<Register>(registration)(&plugin, lmp);
}

}  // namespace

extern "C" void lammpsplugin_init(void* lmp, void* handle, void* registration) {
    add<mentor::lammps::PairMTP>("mtp", lmp, handle, registration);
    add<mentor::lammps::PairMTPExtrapolation>("mtp/extrapolation", lmp, handle, registration);
}
