// Goal: serving on a GPU plans, lists and launches what it should, on machines without one, too.
// Method: the tests of gpu_engine_test.c on a card that is this processor (soft_card.h), and one in which
// it falls off.

#include "infer/soft_card.h"

#define ON_SOFT_CARD
#include "infer/gpu_engine_test.c"  // NOLINT(bugprone-suspicious-include): the same tests
