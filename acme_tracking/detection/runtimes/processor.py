"""What the processor can, as Linux tells it."""
from pathlib import Path

# Flags of x86-64 processors that multiply bfloat16.  OpenVINO calls all that have AVX-512 able
# (2026.4), of which those without one of these emulate it, and are slower than in float32.
BFLOAT16 = {'avx512_bf16', 'amx_bf16'}
CPUINFO = Path('/proc/cpuinfo')


def has_bfloat16() -> bool:
    """Tell whether this machine's processor multiplies numbers in bfloat16."""
    try:
        lines = CPUINFO.read_text().splitlines()
    except OSError:
        return False
    flags = [line.partition(':')[2].split() for line in lines if line.startswith('flags')]
    return bool(flags) and all(BFLOAT16 & set(each) for each in flags)
