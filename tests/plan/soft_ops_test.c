// Goal: adapters are computed on a GPU as on the CPU, on machines without one, too.
// Method: that of ops_bench.h on a card that is this processor (soft_card.h), where the source of the kernels
// runs (soft_kernels.h); what is not about adapters gets the CPU's results.

#include "infer/soft_card.h"
#include "plan/soft_kernels.h"

#define ON_SOFT_CARD
#include "plan/ops_bench.h"
#include "support.h"

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_operation_of_lora),
                                       cmocka_unit_test(adapters_on_embedding_and_head)};
    soft_kernels_use();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
