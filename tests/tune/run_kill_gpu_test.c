// Goal: as run_kill_test, for a run on the GPU.
// Method: 20 random times, and a few operations; every run is a process of its own, as CUDA wants.

#include <stdio.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "device/cuda/cuda.h"
#include "support.h"
#include "tune/run_points.h"

enum { POINTS = 20, OPERATIONS = 5 };

// In a child: this process never opens the GPU, so that its children can.
static bool has_gpu(void)
{
    int status = 0;
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct od_cuda *cuda = NULL;
        _exit(od_cuda_open(0, &cuda, NULL) == OD_OK ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void some_points(void **state)
{
    struct point_world world;
    (void)state;
    if (!has_gpu()) {
        (void)printf("# no GPU: skipped\n");
        skip();
    }
    point_world_make(&world, /* on_gpu= */ true);
    points_of_time(&world, POINTS);
    points_of_operations(&world, world.operations / OPERATIONS);
    point_world_release(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(some_points)};
    return cmocka_run_group_tests_name("tune/run_kill_gpu", tests, NULL, NULL);
}
