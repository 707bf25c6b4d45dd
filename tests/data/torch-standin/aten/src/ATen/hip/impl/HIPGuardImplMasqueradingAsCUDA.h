#pragma once
// Of ROCm alone, and so not made from a file for CUDA.
