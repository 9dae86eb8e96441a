/* Facts of the architecture. For assembly too. */
#pragma once

/* exceptions that push an error code: #DF #TS #NP #SS #GP #PF #AC #CP #VC #SX (SDM 3A 6.3, APM 2 8.2) */
#define X86_VECTOR_HAS_ERROR(v) \
	((v) == 8 || ((v) >= 10 && (v) <= 14) || (v) == 17 || (v) == 21 || (v) == 29 || (v) == 30)
