/* Says where a process met an instruction that its CPU does not have, then lets it end as it would have.
 *
 * Preloaded (ld.so(8), LD_PRELOAD). At SIGILL it writes the address, /proc/self/maps and the bytes at the address
 * to $DEBTOOL_FAULTS/<pid>, with nothing but system calls, and passes the signal on to whoever else wants it:
 * Python's faulthandler, which writes the Python stack. It stands before all other handlers, those that are installed
 * later included: sigaction(2) and signal(2) for SIGILL end here.
 *
 * Compile with -mgeneral-regs-only: an emulator may hand the handler a stack that is not aligned to 16 bytes, where
 * instructions of SSE fault.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define CODE_BYTES 15 /* an instruction is never longer (Intel SDM vol. 2, 2.3.11) */

static char folder[4000];
static struct sigaction theirs; /* what the program thinks is installed */
static int (*real_sigaction)(int, const struct sigaction *, struct sigaction *);

static long call(long number, long a, long b, long c, long d)
{
    long result;
    register long r10 __asm__("r10") = d;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10)
                     : "rcx", "r11", "memory");
    return result;
}

static void put(long file, const char *text)
{
    long length = 0;
    while (text[length])
        length++;
    call(SYS_write, file, (long)text, length, 0);
}

static char *hexadecimal(char *end, unsigned long value, int digits)
{
    while (digits-- > 0 || value) {
        *--end = "0123456789abcdef"[value & 15];
        value >>= 4;
    }
    return end;
}

static void report(const ucontext_t *context)
{
    char path[sizeof folder + 32], number[40], *name = path;
    unsigned long address = (unsigned long)context->uc_mcontext.gregs[REG_RIP];
    long file, maps, got, pid = call(SYS_getpid, 0, 0, 0, 0);

    for (const char *from_folder = folder; *from_folder;)
        *name++ = *from_folder++;
    *name++ = '/';
    number[39] = 0;
    char *digit = number + 39;
    for (long rest = pid; rest; rest /= 10)
        *--digit = (char)('0' + rest % 10);
    while (*digit)
        *name++ = *digit++;
    *name = 0;
    file = call(SYS_openat, AT_FDCWD, (long)path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (file < 0)
        return;
    put(file, "address ");
    put(file, hexadecimal(number + 39, address, 1));
    put(file, "\n");
    maps = call(SYS_openat, AT_FDCWD, (long)"/proc/self/maps", O_RDONLY | O_CLOEXEC, 0);
    if (maps >= 0) {
        char block[4096];
        while ((got = call(SYS_read, maps, (long)block, sizeof block, 0)) > 0)
            call(SYS_write, file, (long)block, got, 0);
        call(SYS_close, maps, 0, 0, 0);
    }
    /* Byte by byte, and through the kernel: the instruction may be the last thing that is mapped. */
    put(file, "code ");
    for (int i = 0; i < CODE_BYTES && call(SYS_write, file, (long)(address + i), 1, 0) == 1; i++)
        continue;
    call(SYS_close, file, 0, 0, 0);
}

__attribute__((force_align_arg_pointer)) static void on_sigill(int signal, siginfo_t *info, void *context)
{
    struct sigaction other = theirs;

    if (info->si_code > 0) /* by the CPU, not by kill(2) or raise(3) */
        report(context);
    if ((other.sa_flags & SA_SIGINFO) != 0)
        other.sa_sigaction(signal, info, context);
    else if (other.sa_handler != SIG_DFL && other.sa_handler != SIG_IGN)
        other.sa_handler(signal);
    else {
        /* Executed again, or raised again: this time it ends the process. */
        struct sigaction end = {.sa_handler = SIG_DFL};
        real_sigaction(signal, &end, NULL);
        if (info->si_code <= 0)
            call(SYS_kill, call(SYS_getpid, 0, 0, 0, 0), signal, 0, 0);
    }
}

static void install(void)
{
    struct sigaction ours = {.sa_sigaction = on_sigill, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
    real_sigaction(SIGILL, &ours, NULL);
}

static void find_real(void)
{
    if (real_sigaction == NULL)
        *(void **)&real_sigaction = dlsym(RTLD_NEXT, "sigaction");
}

__attribute__((visibility("default"))) int sigaction(int signal, const struct sigaction *new, struct sigaction *old)
{
    find_real();
    if (signal != SIGILL)
        return real_sigaction(signal, new, old);
    struct sigaction before = theirs;
    if (new != NULL)
        theirs = *new;
    if (old != NULL)
        *old = before;
    return 0;
}

__attribute__((visibility("default"))) void (*signal(int number, void (*handler)(int)))(int)
{
    struct sigaction new = {.sa_handler = handler, .sa_flags = SA_RESTART}, old;
    return sigaction(number, &new, &old) == 0 ? old.sa_handler : SIG_ERR;
}

__attribute__((constructor)) static void begin(void)
{
    const char *where = getenv("DEBTOOL_FAULTS");

    find_real();
    if (where == NULL || strlen(where) >= sizeof folder)
        return;
    strcpy(folder, where);
    install();
}
