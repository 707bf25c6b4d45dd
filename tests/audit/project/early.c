/* Compiled with -mavx: the dynamic linker executes it. */
volatile float early_state[16];

static __attribute__((noinline)) void fill_early(void) {
    for (int i = 0; i < 16; ++i)
        early_state[i] = early_state[i] * 1.5f + 1.0f;
}

__attribute__((constructor)) static void start_early(void) { fill_early(); }
