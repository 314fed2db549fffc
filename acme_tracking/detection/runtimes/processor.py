"""What the processor can, as Linux tells it."""
from pathlib import Path

# Flags of x86-64 processors that multiply bfloat16.  OpenVINO calls all that have AVX-512 able
# (2026.4), of which those without one of these emulate it, and are slower than in float32.
BFLOAT16 = {'avx512_bf16', 'amx_bf16'}
# Flags of those that multiply and add 8-bit integers in one instruction.  Others take several, and
# their sums can overflow.
VNNI = {'avx512_vnni', 'avx_vnni', 'amx_int8'}
CPUINFO = Path('/proc/cpuinfo')


def has_bfloat16() -> bool:
    """Tell whether this machine's processor multiplies numbers in bfloat16."""
    return _has(BFLOAT16)


def has_vnni() -> bool:
    """Tell whether this machine's processor is quick with 8-bit integers."""
    return _has(VNNI)


def _has(wanted):
    try:
        lines = CPUINFO.read_text().splitlines()
    except OSError:
        return False
    flags = [line.partition(':')[2].split() for line in lines if line.startswith('flags')]
    return bool(flags) and all(wanted & set(each) for each in flags)
