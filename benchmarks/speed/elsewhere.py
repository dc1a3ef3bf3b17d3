"""Times of other programs, measured once by running them; they are not run by the benchmarks.

µs per atom for energy, forces and virial; CPU time of one core with AVX2, fcc Ag, cutoff 5 Å, 29
neighbours, 8 radial functions, 1 species; best of several runs on a busy machine.
"""

MLIP3 = {8: 12.0, 12: 45.0, 16: 116.0, 20: 259.0, 22: 449.0, 24: 713.0}
MLIP2 = {8: 8.0, 12: 26.0, 16: 74.0, 20: 172.0, 22: 355.0, 24: 601.0}
MOTEP = {8: 21.0, 12: 40.0, 16: 80.0, 20: 250.0, 22: 397.0, 24: 653.0}

# inside LAMMPS, integration included, a list of 42 neighbours that is not rebuilt
ML_MTP = {8: 5.6, 12: 19.0, 16: 42.0, 20: 110.0, 22: 242.0, 24: 417.0}
ML_MTP_GRADES = {8: 8.9, 12: 27.0, 16: 81.0, 20: 401.0, 22: 648.0, 24: 1461.0}
PACE = {74: 20.0, 254: 48.0, 600: 87.0}  # by the number of functions
SNAP = {6: 160.0, 8: 389.0}  # by 2Jmax
