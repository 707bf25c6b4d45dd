/* Compiled with -mlzcnt -mbmi: one instruction counts wrongly on an old CPU, the other does what was meant. */
int leading(unsigned number) { return __builtin_clz(number | 1); }
int trailing(unsigned number) { return __builtin_ctz(number | 0x80000000u); }
