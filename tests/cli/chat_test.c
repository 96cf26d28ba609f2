// Goal: `oneday chat` answers line by line, keeps the conversation, forgets when told or when it must, and
//       refuses what cannot work.
// Method: the program with a file as its standard input, or on a terminal, on the model that ships with the
//         source.

#include <jansson.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "cli/program.h"
#include "formats/json.h"
#include "support.h"

static const char *model(void)
{
    return test_source("examples/toyworld/base");
}

/** Run with these lines as input. */
static void set_input(const char *text)
{
    static char path[OD_PATH_MAX_BYTES];
    struct od_error err = {0};
    assert_ok(od_path_join(path, test_folder(), "input", &err), &err);
    assert_ok(od_file_write(path, text, strlen(text), &err), &err);
    program_input = path;
}

static json_t *messages_of(const struct program *run, json_t **ret_root)
{
    struct od_error err = {0};
    assert_ok(od_json_parse(run->out, strlen(run->out), "out", ret_root, &err), &err);
    return json_object_get(*ret_root, "messages");
}

static const char *member(const json_t *messages, size_t index, const char *key)
{
    return json_string_value(json_object_get(json_array_get(messages, index), key));
}

static void keeps_the_conversation(void **state)
{
    (void)state;
    json_t *root = NULL;
    set_input("Hello\n\nAnd you?\r\n/quit\nnever read\n");
    struct program run =
        program_run("chat", model(), "--chat-template", "chatml", "--json", "--temperature", "0",
                    "--max-tokens", "8", "--system", "Be short");
    assert_int_equal(run.exit_code, 0);
    const json_t *messages = messages_of(&run, &root);
    assert_int_equal(json_array_size(messages), 5);
    assert_string_equal(member(messages, 0, "role"), "system");
    assert_string_equal(member(messages, 1, "content"), "Hello");
    assert_string_equal(member(messages, 2, "role"), "assistant");
    assert_string_equal(member(messages, 3, "content"), "And you?");
    assert_true(strlen(member(messages, 4, "content")) > 0);

    // The same without --json: the answers, one a line.
    struct program plain =
        program_run("chat", model(), "--chat-template", "chatml", "--temperature", "0",
                    "--max-tokens", "8", "--system", "Be short");
    char expected[256];
    (void)snprintf(expected, sizeof expected, "%s\n%s\n", member(messages, 2, "content"),
                   member(messages, 4, "content"));
    assert_string_equal(plain.out, expected);
    json_decref(root);
    program_release(&plain);
    program_release(&run);
}

static void forgets(void **state)
{
    (void)state;
    json_t *root = NULL;
    set_input("one\ntwo\n/reset\n/help\nthree\n");
    struct program run = program_run("chat", model(), "--chat-template", "chatml", "--json",
                                     "--max-tokens", "4", "--seed", "1");
    assert_int_equal(run.exit_code, 0);
    const json_t *messages = messages_of(&run, &root);
    assert_int_equal(json_array_size(messages), 2);
    assert_string_equal(member(messages, 0, "content"), "three");
    assert_non_null(strstr(run.err, "/reset forgets the conversation, /quit ends it"));
    json_decref(root);
    program_release(&run);

    // Each question is some sixty tokens: the fourth does not fit into 256 with what came before.
    set_input(
        "a question of some length\na question of some length\na question of some length\n"
        "the last one\n");
    run = program_run("chat", model(), "--chat-template", "chatml", "--json", "--max-tokens", "8",
                      "--seed", "1", "--context", "256");
    assert_int_equal(run.exit_code, 0);
    assert_non_null(strstr(run.err, "are forgotten"));
    messages = messages_of(&run, &root);
    const size_t count = json_array_size(messages);
    assert_in_range(count, 2, 6);
    assert_string_equal(member(messages, count - 2, "content"), "the last one");
    json_decref(root);
    program_release(&run);
}

static void copy_into(const char *folder, const char *name)
{
    char path[OD_PATH_MAX_BYTES];
    char *bytes = NULL;
    size_t size = 0;
    struct od_error err = {0};
    assert_ok(od_path_join(path, model(), name, &err), &err);
    assert_ok(od_file_read(path, 1 << 26, &bytes, &size, &err), &err);
    assert_ok(od_path_join(path, folder, name, &err), &err);
    assert_ok(od_file_write(path, bytes, size, &err), &err);
    od_free(bytes);
}

// The template that a model brings, in its folder and in one GGUF file.
static void template_of_the_model(void **state)
{
    (void)state;
    static const char TEMPLATE[] =
        "{% for message in messages %}Question: {{ message.content }}\n{% endfor %}Answer:";
    const char *folder = test_folder();
    char path[OD_PATH_MAX_BYTES];
    struct od_error err = {0};
    copy_into(folder, "config.json");
    copy_into(folder, "model.safetensors");
    copy_into(folder, "tokenizer.json");
    copy_into(folder, "tokenizer_config.json");
    assert_ok(od_path_join(path, folder, "chat_template.jinja", &err), &err);
    assert_ok(od_file_write(path, TEMPLATE, sizeof TEMPLATE - 1, &err), &err);
    assert_ok(od_path_join(path, folder, "model.gguf", &err), &err);
    struct program run = program_run("model", "convert", folder, "-o", path, "--type", "f32");
    assert_int_equal(run.exit_code, 0);
    program_release(&run);

    set_input("What colour is it?\nAnd where?\n");
    struct program by_name = program_run("chat", model(), "--chat-template", TEMPLATE,
                                         "--temperature", "0", "--max-tokens", "12");
    struct program by_folder =
        program_run("chat", folder, "--temperature", "0", "--max-tokens", "12");
    struct program by_gguf = program_run("chat", path, "--temperature", "0", "--max-tokens", "12");
    assert_int_equal(by_name.exit_code, 0);
    assert_true(strlen(by_name.out) > 4);
    assert_string_equal(by_folder.out, by_name.out);
    assert_string_equal(by_gguf.out, by_name.out);
    program_release(&by_gguf);
    program_release(&by_folder);
    program_release(&by_name);
}

static void refuses(void **state)
{
    (void)state;
    set_input("hello\n");
    program_assert_usage(program_run("chat", model()), "brings no chat template");
    program_assert_usage(program_run("chat", model(), "--chat-template", "nonsense"),
                         "there is no chat template 'nonsense'");
    program_assert_usage(program_run("chat", model(), "--min-p", "2"), "--min-p 0 to 1");
    set_input("a \xff byte\n");
    program_assert_usage(program_run("chat", model(), "--chat-template", "chatml"),
                         "the text is no UTF-8");
}

/** The program on a terminal. */
struct session {
    pid_t child;
    int terminal;
    char seen[1 << 16];
    size_t size;
};

/** Read what there is, waiting for something; false at the end. */
static bool take(struct session *session)
{
    const ssize_t got = read(session->terminal, session->seen + session->size,
                             sizeof session->seen - 1 - session->size);
    session->size += got > 0 ? (size_t)got : 0;
    session->seen[session->size] = '\0';
    return got > 0;
}

static bool at_prompt(const struct session *session)
{
    static const char end[] = "\n> ";
    const size_t length = sizeof end - 1;
    return session->size >= length && strcmp(session->seen + session->size - length, end) == 0;
}

static void wait_for_prompt(struct session *session)
{
    while (!at_prompt(session)) {
        if (!take(session)) {
            fail_msg("the program has ended behind: %s", session->seen);
        }
    }
}

static void open_session(struct session *session)
{
    const char *const argv[] = {
        test_binary(), "chat",          model(), "--threads", "1", "--chat-template",
        "chatml",      "--temperature", "9",     "--seed",    "1", NULL};
    struct termios modes;
    int program = -1;
    session->size = 0;
    assert_int_equal(openpty(&session->terminal, &program, NULL, NULL, NULL), 0);
    assert_int_equal(tcgetattr(program, &modes), 0);
    modes.c_lflag &= ~(tcflag_t)ECHO;
    assert_int_equal(tcsetattr(program, TCSANOW, &modes), 0);
    (void)fflush(NULL);
    session->child = fork();
    if (session->child == 0) {
        union {
            const char *const *in;
            char **out;
        } arguments = {.in = argv};  // execv takes them without const and leaves them alone
        if (dup2(program, 0) == 0 && dup2(program, 1) == 1 && dup2(program, 2) == 2) {
            (void)execv(argv[0], arguments.out);
        }
        _exit(127);
    }
    assert_true(session->child > 0);
    (void)close(program);
    wait_for_prompt(session);
}

/** Ask, and interrupt the answer once it has begun; false when it was over before that: the program is
 *  stopped while that is found out, so that a signal never meets the prompt. */
static bool interrupt_an_answer(struct session *session)
{
    struct pollfd more = {.fd = session->terminal, .events = POLLIN};
    int state = 0;
    session->size = 0;
    assert_int_equal(write(session->terminal, "hello\n", 6), 6);
    assert_true(take(session));
    assert_int_equal(kill(session->child, SIGSTOP), 0);
    assert_int_equal(waitpid(session->child, &state, WUNTRACED), session->child);
    assert_true(WIFSTOPPED(state));
    while (poll(&more, 1, 0) > 0 && take(session)) {
        // more of the answer
    }
    const bool is_over = at_prompt(session);
    assert_true(is_over || kill(session->child, SIGINT) == 0);
    assert_int_equal(kill(session->child, SIGCONT), 0);
    wait_for_prompt(session);
    return !is_over;
}

// Every answer can be stopped, not only the first.
static void is_interrupted(void **state)
{
    (void)state;
    struct session session;
    int status = 0;
    int interrupted = 0;
    open_session(&session);
    for (int i = 0; i < 20 && interrupted < 3; i++) {
        interrupted += interrupt_an_answer(&session);
    }
    assert_int_equal(interrupted, 3);
    assert_int_equal(write(session.terminal, "/quit\n", 6), 6);
    assert_int_equal(waitpid(session.child, &status, 0), session.child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    (void)close(session.terminal);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_the_conversation), cmocka_unit_test(forgets),
        cmocka_unit_test(template_of_the_model),  cmocka_unit_test(refuses),
        cmocka_unit_test(is_interrupted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
