// A template that two units instantiate: the linker keeps one copy of it.
#pragma once

template <typename Number>
__attribute__((noinline)) Number total(const Number *numbers, int count) {
    Number sum = 0;
    for (int i = 0; i < count; ++i)
        sum += numbers[i];
    return sum;
}

// The same with hidden visibility: the linker keeps one copy too, and makes it local.
template <typename Number>
__attribute__((noinline, visibility("hidden"))) Number lowest(const Number *numbers, int count) {
    Number least = numbers[0];
    for (int i = 1; i < count; ++i)
        least = numbers[i] < least ? numbers[i] : least;
    return least;
}

// Only the unit for AVX2 instantiates this one, so there is no other copy; its callers are in that unit.
template <typename Number>
__attribute__((noinline, visibility("hidden"))) Number greatest_avx2(const Number *numbers, int count) {
    Number most = numbers[0];
    for (int i = 1; i < count; ++i)
        most = numbers[i] > most ? numbers[i] : most;
    return most;
}
