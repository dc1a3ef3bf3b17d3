// Chemical symbols by atomic number; X stands for none.
#pragma once

#include <algorithm>
#include <string>

namespace mentor {

constexpr const char* chemical_symbols[] = {
    "X",  "H",  "He", "Li", "Be", "B",  "C",  "N",  "O",  "F",  "Ne", "Na", "Mg", "Al", "Si",
    "P",  "S",  "Cl", "Ar", "K",  "Ca", "Sc", "Ti", "V",  "Cr", "Mn", "Fe", "Co", "Ni", "Cu",
    "Zn", "Ga", "Ge", "As", "Se", "Br", "Kr", "Rb", "Sr", "Y",  "Zr", "Nb", "Mo", "Tc", "Ru",
    "Rh", "Pd", "Ag", "Cd", "In", "Sn", "Sb", "Te", "I",  "Xe", "Cs", "Ba", "La", "Ce", "Pr",
    "Nd", "Pm", "Sm", "Eu", "Gd", "Tb", "Dy", "Ho", "Er", "Tm", "Yb", "Lu", "Hf", "Ta", "W",
    "Re", "Os", "Ir", "Pt", "Au", "Hg", "Tl", "Pb", "Bi", "Po", "At", "Rn", "Fr", "Ra", "Ac",
    "Th", "Pa", "U",  "Np", "Pu", "Am", "Cm", "Bk", "Cf", "Es", "Fm", "Md", "No", "Lr", "Rf",
    "Db", "Sg", "Bh", "Hs", "Mt", "Ds", "Rg", "Cn", "Nh", "Fl", "Mc", "Lv", "Ts", "Og"};

constexpr int chemical_symbols_count = sizeof(chemical_symbols) / sizeof(*chemical_symbols);

/// Where there is no such symbol, chemical_symbols_count.
inline int atomic_number(const std::string& name) {
    return static_cast<int>(
        std::find(std::begin(chemical_symbols), std::end(chemical_symbols), name) -
        std::begin(chemical_symbols));
}

inline bool is_chemical_symbol(const std::string& name) {
    return atomic_number(name) < chemical_symbols_count;
}

}  // namespace mentor
