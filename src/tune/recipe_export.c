// `export:` and `merge_base`: what a run writes at its end besides its adapter or model.

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "base/status.h"
#include "base/text.h"
#include "formats/gguf.h"
#include "formats/yaml.h"
#include "ops/op.h"
#include "tune/recipe.h"
#include "tune/recipe_internal.h"

// The last is written in any case.
static const char *const names[OD_RECIPE_EXPORTS + 1] = {"merged",    "gguf-f16",     "gguf-bf16",
                                                         "gguf-q8_0", "adapter-gguf", "adapter"};

const char *od_recipe_export_name(int index)
{
    return names[index];
}

enum od_status od_recipe_read_exports(struct od_recipe_reader *r, const struct od_yaml_node *node,
                                      struct od_error *err)
{
    unsigned exports = 0;
    enum od_status status = od_yaml_expect(node, OD_YAML_SEQUENCE, err);
    for (const struct od_yaml_node *item = node->first; status == OD_OK && item;
         item = item->next) {
        const char *text = NULL;
        int index = 0;
        status = od_yaml_text(item, &text, err);
        while (status == OD_OK && index <= OD_RECIPE_EXPORTS && strcmp(text, names[index]) != 0) {
            index++;
        }
        if (index > OD_RECIPE_EXPORTS) {
            return od_recipe_fail_unknown(item, "export", text,
                                          od_nearest_name(text, names, OD_RECIPE_EXPORTS + 1), err);
        }
        exports |= index < OD_RECIPE_EXPORTS ? 1u << index : 0;
    }
    if (status == OD_OK) {
        r->recipe->exports = exports;
    }
    return status;
}

static enum od_status check_base(const struct od_recipe *recipe, const struct od_yaml_node *root,
                                 struct od_error *err)
{
    const struct od_yaml_node *node = od_yaml_find(root, "merge_base");
    const bool dequant = recipe->merge_base && strcmp(recipe->merge_base, "dequant") == 0;
    if (recipe->merge_base && !dequant && strcmp(recipe->merge_base, "w16") != 0) {
        return od_recipe_fail(node, OD_E_FORMAT, err,
                              "'merge_base' is '%.40s': it must be w16, the base's own weights, or "
                              "dequant, those that a quantised base trains on",
                              recipe->merge_base);
    }
    if (dequant && recipe->quant == OD_QUANT_NONE) {
        return od_recipe_fail(node, OD_E_FORMAT, err,
                              "'merge_base: dequant' is for 'adapter: qlora' and load_in_8bit: "
                              "this base is not quantised");
    }
    if (!recipe->merge_base && recipe->quant != OD_QUANT_NONE &&
        (recipe->exports & OD_RECIPE_WHOLE) != 0) {
        return od_recipe_fail(od_yaml_find(root, "export"), OD_E_FORMAT, err,
                              "'export' merges an adapter of a quantised base: say into what, "
                              "'merge_base: w16' (the base's own weights) or 'merge_base: dequant' "
                              "(what it was trained on)");
    }
    return OD_OK;
}

enum od_status od_recipe_check_exports(const struct od_recipe *recipe,
                                       const struct od_yaml_node *root, struct od_error *err)
{
    const struct od_yaml_node *node = od_yaml_find(root, "export");
    if (recipe->method == OD_METHOD_FULL &&
        (recipe->exports & (OD_RECIPE_MERGED | OD_RECIPE_ADAPTER_GGUF)) != 0) {
        return od_recipe_fail(node, OD_E_FORMAT, err,
                              "'export': full tuning has no adapter: its model/ is the whole "
                              "model, and gguf-f16, gguf-bf16 and gguf-q8_0 are made of it");
    }
    if (recipe->method == OD_METHOD_LORA && recipe->base_model &&
        od_gguf_is_path(recipe->base_model) && (recipe->exports & OD_RECIPE_WHOLE) != 0) {
        return od_recipe_fail(node, OD_E_UNSUPPORTED, err,
                              "'export': nothing is merged into a GGUF file: name the model folder "
                              "as base_model, or export adapter-gguf alone");
    }
    return check_base(recipe, root, err);
}
