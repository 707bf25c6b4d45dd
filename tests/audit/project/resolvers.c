/* Compiled with -mavx: a resolver that does not ask the CPU, and uses what it may not. */
static int checked(int x) { return x + 1; }

volatile double resolver_weight = 0.5;

__attribute__((used)) static void *resolve_careless(void) {
    resolver_weight = resolver_weight * 2.0;
    return (void *)checked;
}

int careless(int) __attribute__((ifunc("resolve_careless")));
