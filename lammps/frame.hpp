// Writes atoms with their extrapolation grades as a frame of an extended XYZ file.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace mentor::lammps {

struct Frame {
    int64_t step;
    double max_grade;
    double cell[3][3];  // rows are the cell vectors, Å
    bool periodic[3];
    std::vector<std::string> elements;  // of LAMMPS' types 1, 2, ...
    std::vector<double> atoms;          // id, type, x, y, z, grade of each
};
constexpr int frame_columns = 6;

/// Appends the frame, sorted by id, to the file; returns what went wrong, or nothing.
std::string append(Frame& frame, const std::string& path);

}  // namespace mentor::lammps
