// Any bytes as the GGUF file of an adapter, for one small model.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/status.h"
#include "formats/gguf.h"
#include "fuzz.h"
#include "model/gguf_model.h"
#include "model/program.h"
#include "model/spec.h"
#include "model/weights.h"

/** The model of the corpus, read once. */
static bool read_model(struct od_program *program)
{
    static const char CONFIG[] =
        "{\"model_type\":\"llama\",\"vocab_size\":61,\"hidden_size\":32,\"intermediate_size\":72,"
        "\"num_hidden_layers\":2,\"num_attention_heads\":4,\"num_key_value_heads\":2,"
        "\"max_position_embeddings\":64,\"rms_norm_eps\":1e-05,\"rope_theta\":10000.0,"
        "\"hidden_act\":\"silu\",\"tie_word_embeddings\":false,\"bos_token_id\":1,\"eos_token_id\":2}";
    const struct od_program_options options = {.mode = OD_PROGRAM_INFER,
                                               .tokens = 1,
                                               .threads = 1,
                                               .cache_slots = 1,
                                               .cache_length = 1,
                                               .logit_rows = 1};
    char folder[OD_PATH_MAX_BYTES];
    char path[OD_PATH_MAX_BYTES];
    struct od_spec spec;
    if (od_dir_make_temporary("oneday-fuzz", folder, NULL) != OD_OK) {
        return false;
    }
    const bool good = od_path_join(path, folder, "config.json", NULL) == OD_OK &&
                      od_file_write(path, CONFIG, sizeof CONFIG - 1, NULL) == OD_OK &&
                      od_spec_read(path, &spec, NULL) == OD_OK &&
                      od_program_build(&spec, &options, program, NULL) == OD_OK &&
                      od_dir_remove(folder, NULL) == OD_OK;
    return good;
}

/** What was taken fits the model: every matrix is read to its end. */
static void check_adapter(const struct od_program *program, const struct od_adapter *adapter)
{
    float sum = 0.0F;
    if (adapter->r < 1 || adapter->layer_count < 1 ||
        adapter->layer_count > program->weight_count) {
        __builtin_trap();
    }
    for (int64_t i = 0; i < adapter->layer_count; i++) {
        const struct od_adapter_layer *layer = &adapter->layers[i];
        sum += layer->a[adapter->r * layer->k - 1] + layer->b[layer->rows * adapter->r - 1];
    }
    volatile float seen = sum;
    (void)seen;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct od_program program;
    static bool is_read;
    struct od_gguf *gguf = NULL;
    struct od_adapter adapter = {0};
    struct od_error err = {0};
    if (!is_read && !read_model(&program)) {
        __builtin_trap();
    }
    is_read = true;
    if (od_gguf_parse(data, size, "fuzz", &gguf, &err) == OD_OK) {
        if (od_adapter_read_gguf(&program, gguf, &adapter, &err) == OD_OK) {
            check_adapter(&program, &adapter);
        } else if (err.message[0] == '\0') {
            __builtin_trap();
        }
    }
    od_adapter_release(&adapter);
    od_gguf_close(gguf);
    return 0;
}
