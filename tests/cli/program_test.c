// Goal: the program as a person meets it: exit codes, one-line messages, help, man pages, doctor.
// Method: the real binary is run; every command that it lists is put through the same questions, so
// that a new command is tested from its first day.

#include "program.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/status.h"
#include "device/cuda/cuda.h"
#include "formats/json.h"

enum { NAMES_MAX = 64, NAME_BYTES = 128 };

/** Words of a command: {"model", "inspect"} or {"tune", NULL}. */
struct command {
    char first[NAME_BYTES];
    char second[NAME_BYTES];
};

/** All commands, those of groups by their two words. */
static int list_commands(struct command commands[NAMES_MAX])
{
    int count = 0;
    struct program all = program_run("--list-commands");
    assert_int_equal(all.exit_code, 0);
    for (char *line = all.out, *end; (end = strchr(line, '\n')); line = end + 1) {
        *end = '\0';
        struct program group = program_run(line, "--list-commands");
        if (group.exit_code != 0) {
            assert_true(count < NAMES_MAX);
            (void)snprintf(commands[count].first, NAME_BYTES, "%s", line);
            commands[count].second[0] = '\0';
            count++;
        }
        for (char *sub = group.out, *stop; group.exit_code == 0 && (stop = strchr(sub, '\n'));
             sub = stop + 1) {
            *stop = '\0';
            assert_true(count < NAMES_MAX);
            (void)snprintf(commands[count].first, NAME_BYTES, "%s", line);
            (void)snprintf(commands[count].second, NAME_BYTES, "%s", sub);
            count++;
        }
        program_release(&group);
    }
    program_release(&all);
    assert_true(count > 0);
    return count;
}

static struct program ask(const struct command *command, const char *option)
{
    return command->second[0] ? program_run(command->first, command->second, option)
                              : program_run(command->first, option);
}

static void version(void **state)
{
    (void)state;
    struct program program = program_run("--version");
    int major = -1;
    assert_int_equal(program.exit_code, 0);
    assert_string_equal(program.err, "");
    assert_int_equal(program_lines(program.out), 1);
    assert_int_equal(sscanf(program.out, "oneday %d.", &major), 1);
    program_release(&program);
}

static void unknown_command_names_the_nearest(void **state)
{
    (void)state;
    program_assert_usage(program_run("doctro"), "the nearest is 'doctor'");
    program_assert_usage(program_run("xxxxxxxxxxxxxxx"), "see 'oneday --help'");
    program_assert_usage(program_run("help", "doctro"), "the nearest is 'doctor'");
    program_assert_usage(program_run("--doctor"), "unknown option '--doctor'");
}

static void no_command_shows_help(void **state)
{
    (void)state;
    const char *const none[] = {NULL};
    struct program program = program_run_to(NULL, none);
    assert_int_equal(program.exit_code, 2);
    assert_string_equal(program.out, "");
    assert_non_null(strstr(program.err, "usage: oneday COMMAND"));
    program_release(&program);
    program = program_run("help");
    struct program same = program_run("--help");
    assert_int_equal(program.exit_code, 0);
    assert_string_equal(program.out, same.out);
    program_release(&program);
    program_release(&same);
}

/** `text` has a line that lists this option as --help does. */
static bool help_lists(const char *text, const char *name)
{
    char start[NAME_BYTES + 8];
    const int size = snprintf(start, sizeof start, "--%s", name);
    for (const char *at = text; (at = strstr(at, start)); at++) {
        if (at >= text + 2 && at[-1] == ' ' && strchr(" \n", at[size])) {
            return true;
        }
    }
    return false;
}

// No line is longer than a terminal is wide, but an example, which starts with blanks.
static void assert_narrow(const char *text)
{
    for (const char *line = text; *line;) {
        const size_t size = strcspn(line, "\n");
        const bool example = strncmp(line, "    oneday", 10) == 0;
        if (size > 79 && !example) {
            fail_msg("a line of %zu bytes: %.*s", size, (int)size, line);
        }
        line += size + (line[size] == '\n');
    }
}

static void every_command_has_help(void **state)
{
    (void)state;
    struct command commands[NAMES_MAX];
    const int count = list_commands(commands);
    for (int i = 0; i < count; i++) {
        char usage[NAME_BYTES * 3];
        struct program program = ask(&commands[i], "--help");
        (void)snprintf(usage, sizeof usage, "usage: oneday %s%s%s", commands[i].first,
                       commands[i].second[0] ? " " : "", commands[i].second);
        assert_int_equal(program.exit_code, 0);
        assert_string_equal(program.err, "");
        assert_memory_equal(program.out, usage, strlen(usage));
        assert_narrow(program.out);
        const char *const shared[] = {"help", "json", "device", "threads", "quiet", "verbose"};
        for (size_t j = 0; j < sizeof shared / sizeof shared[0]; j++) {
            if (!help_lists(program.out, shared[j])) {
                fail_msg("'%s --help' does not list --%s", usage + 7, shared[j]);
            }
        }
        program_release(&program);
    }
}

static void every_command_refuses_nonsense(void **state)
{
    (void)state;
    struct command commands[NAMES_MAX];
    const int count = list_commands(commands);
    for (int i = 0; i < count; i++) {
        program_assert_usage(ask(&commands[i], "--jsno"), "the nearest is '--json'");
        program_assert_usage(ask(&commands[i], "--threads=x"), "a whole number, not 'x'");
        program_assert_usage(ask(&commands[i], "--threads=-1"), "'--threads' takes 0 to");
        program_assert_usage(ask(&commands[i], "--threads"), "'--threads' needs a value");
        program_assert_usage(ask(&commands[i], "--device=tpu"), "unknown device 'tpu'");
        program_assert_usage(ask(&commands[i], "--json=1"), "'--json' takes no value");
        program_assert_usage(ask(&commands[i], "-\x01"), "unknown option '-?'");
    }
}

/** Every option in a man page's source stands in --help, and the same number of them. */
static void every_command_has_a_man_page(void **state)
{
    (void)state;
    struct command commands[NAMES_MAX];
    const char *folder = getenv("ONEDAY_MAN");
    const int count = list_commands(commands);
    for (int i = 0; i < count; i++) {
        int in_man = 0;
        int in_help = 0;
        struct program man = ask(&commands[i], "--help-man");
        struct program help = ask(&commands[i], "--help");
        assert_int_equal(man.exit_code, 0);
        assert_memory_equal(man.out, "oneday-", 7);
        const char *options = strstr(man.out, "# OPTIONS");
        assert_non_null(options);
        for (const char *at = options; (at = strstr(at, "*--")); at++) {
            char name[NAME_BYTES] = "";
            size_t size = 0;
            for (at += 3; *at != '*' && size + 1 < sizeof name; at++) {
                if (*at != '\\') {
                    name[size++] = *at;
                }
            }
            in_man++;
            if (!help_lists(help.out, name)) {
                fail_msg("--%s of the man page is not in --help:\n%s", name, help.out);
            }
        }
        for (const char *at = strstr(help.out, "\noptions:\n");
             at && (at = strchr(at + 1, '\n'));) {
            in_help += strncmp(at, "\n  -", 4) == 0 || strncmp(at, "\n      --", 9) == 0 ? 1 : 0;
        }
        assert_int_equal(in_man, in_help);
        if (folder) {
            char path[OD_PATH_MAX_BYTES];
            (void)snprintf(path, sizeof path, "%.3000s/oneday-%s.1", folder, commands[i].first);
            if (!od_path_exists(path)) {
                fail_msg("no man page '%s'", path);
            }
        }
        program_release(&man);
        program_release(&help);
    }
}

static void help_of_a_command_by_two_ways(void **state)
{
    (void)state;
    struct program one = program_run("help", "doctor");
    struct program two = program_run("doctor", "--help");
    assert_int_equal(one.exit_code, 0);
    assert_string_equal(one.out, two.out);
    program_release(&one);
    program_release(&two);
}

static void results_that_are_lost_are_a_failure(void **state)
{
    (void)state;
    const char *const args[] = {"doctor", "--json", NULL};
    struct program program = program_run_to("/dev/full", args);
    assert_int_equal(program.exit_code, 1);
    assert_int_equal(program_lines(program.err), 1);
    assert_non_null(strstr(program.err, "cannot write to standard output"));
    program_release(&program);
}

static void a_gpu_that_is_not_there_is_named(void **state)
{
    (void)state;
    if (od_cuda_count(NULL) > 0) {
        skip();  // it is there
    }
    struct program program = program_run("tune", "absent.yaml", "--device", "cuda");
    assert_int_equal(program.exit_code, 2);
    assert_int_equal(program_lines(program.err), 1);
    assert_non_null(strstr(program.err, "libcuda.so.1"));
    program_release(&program);
    program = program_run("serve", "absent", "--device", "cuda");
    assert_int_equal(program.exit_code, 2);
    assert_non_null(strstr(program.err, "libcuda.so.1"));
    program_release(&program);
}

// Both ways in which the benchmarks of the engine print, on a model of a few thousand weights.
static void benches_print_what_they_measured(void **state)
{
    (void)state;
    static const char config[] =
        "{\"model_type\":\"llama\",\"vocab_size\":259,\"hidden_size\":16,\"intermediate_size\":20,"
        "\"num_hidden_layers\":1,\"num_attention_heads\":2,\"num_key_value_heads\":1,"
        "\"head_dim\":8,\"max_position_embeddings\":2048,\"tie_word_embeddings\":true,"
        "\"rope_theta\":10000.0,\"rms_norm_eps\":1e-5,\"initializer_range\":0.3}";
    char shape[OD_PATH_MAX_BYTES];
    struct od_error err = {0};
    assert_ok(od_path_join(shape, test_folder(), "config.json", &err), &err);
    assert_ok(od_file_write(shape, config, strlen(config), &err), &err);
    struct program infer = program_run("bench", "infer", "--shape", shape, "--batch", "2",
                                       "--prompt", "0", "--device", "cpu", "--json");
    json_t *root = NULL;
    assert_int_equal(infer.exit_code, 0);
    assert_ok(od_json_parse(infer.out, strlen(infer.out), "infer", &root, &err), &err);
    assert_int_equal(json_integer_value(json_object_get(root, "batch")), 2);
    assert_true(json_number_value(json_object_get(root, "tokens_per_s")) > 0.0);
    json_decref(root);
    program_release(&infer);
    struct program prompts =
        program_run("bench", "prompts", "--shape", shape, "--prompts", "2", "--json");
    assert_int_equal(prompts.exit_code, 0);
    assert_ok(od_json_parse(prompts.out, strlen(prompts.out), "prompts", &root, &err), &err);
    assert_int_equal(json_integer_value(json_object_get(root, "prompts")), 2);
    assert_true(json_number_value(json_object_get(root, "work_ratio")) > 1.0);
    json_decref(root);
    program_release(&prompts);
    prompts = program_run("bench", "prompts", "--shape", shape, "--prompts", "2");
    assert_int_equal(prompts.exit_code, 0);
    assert_non_null(strstr(prompts.out, "the same answers"));
    program_release(&prompts);
}

static void doctor_prints_json(void **state)
{
    (void)state;
    struct od_error err = {0};
    json_t *root = NULL;
    struct program program = program_run("doctor", "--json");
    assert_int_equal(program.exit_code, 0);
    assert_string_equal(program.err, "");
    assert_ok(od_json_parse(program.out, strlen(program.out), "doctor", &root, &err), &err);
    const char *const groups[] = {"program", "processor", "system", "gpu", "network", "libraries"};
    for (size_t i = 0; i < sizeof groups / sizeof groups[0]; i++) {
        assert_true(json_object_size(json_object_get(root, groups[i])) > 0);
    }
    assert_true(json_is_array(json_object_get(root, "advice")));
    const json_t *engine = json_object_get(json_object_get(root, "gpu"), "engine");
    assert_string_equal(json_string_value(engine),
                        "training; serving and evaluation compute on the CPU");
    // With and without a GPU it says what was found, and why nothing was.
    const json_t *gpu = json_object_get(root, "gpu");
    const char *found = json_string_value(json_object_get(gpu, "found"));
    assert_non_null(found);
    assert_true(strncmp(found, "none: ", 6) == 0 ? strlen(found) > 20
                                                 : strtol(found, NULL, 10) > 0);
    const char *const names[] = {"kernels", "cuBLASLt", "cuDNN", "NVML"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        assert_non_null(json_string_value(json_object_get(gpu, names[i])));
    }
    json_decref(root);
    program_release(&program);

    program = program_run("doctor");
    assert_int_equal(program.exit_code, 0);
    assert_non_null(strstr(program.out, "training; serving and evaluation compute on the CPU"));
    program_release(&program);
    program_assert_usage(program_run("doctor", "extra"), "unexpected argument 'extra'");
}

/** A copy of the program in a folder that it has never seen. */
static void examples_lie_beside_the_program(void **state)
{
    (void)state;
    struct od_error err = {0};
    char from[OD_PATH_MAX_BYTES];
    char path[OD_PATH_MAX_BYTES];
    char *bytes = NULL;
    size_t size = 0;
    const char *folder = test_folder();
    (void)snprintf(from, sizeof from, "%s", test_binary());
    assert_ok(od_file_read(from, (size_t)1 << 30, &bytes, &size, &err), &err);
    assert_ok(od_path_join(path, folder, "bin", &err), &err);
    assert_ok(od_dir_make(path, &err), &err);
    assert_ok(od_path_join(path, folder, "bin/oneday", &err), &err);
    assert_ok(od_file_write(path, bytes, size, &err), &err);
    od_free(bytes);
    assert_int_equal(chmod(path, 0700), 0);
    char examples[OD_PATH_MAX_BYTES];
    char demo[OD_PATH_MAX_BYTES];
    assert_ok(od_path_join(examples, folder, "share/oneday/examples/toyworld", &err), &err);
    assert_ok(od_dir_make(examples, &err), &err);  // empty: so the message names it
    assert_ok(od_path_join(demo, folder, "demo", &err), &err);
    assert_int_equal(unsetenv("ONEDAY_EXAMPLES"), 0);
    assert_int_equal(setenv("ONEDAY_BINARY", path, 1), 0);
    struct program program = program_run("demo", demo);
    assert_int_equal(setenv("ONEDAY_BINARY", from, 1), 0);
    assert_int_not_equal(program.exit_code, 0);
    if (!strstr(program.err, "/bin/../share/oneday/examples/toyworld/")) {
        fail_msg("no word of '%s' in: %s", examples, program.err);
    }
    program_release(&program);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(version),
        cmocka_unit_test(unknown_command_names_the_nearest),
        cmocka_unit_test(no_command_shows_help),
        cmocka_unit_test(every_command_has_help),
        cmocka_unit_test(every_command_refuses_nonsense),
        cmocka_unit_test(every_command_has_a_man_page),
        cmocka_unit_test(help_of_a_command_by_two_ways),
        cmocka_unit_test(results_that_are_lost_are_a_failure),
        cmocka_unit_test(a_gpu_that_is_not_there_is_named),
        cmocka_unit_test(benches_print_what_they_measured),
        cmocka_unit_test(doctor_prints_json),
        cmocka_unit_test(examples_lie_beside_the_program),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
