#include "net/ca_bundle.h"

#include <stddef.h>
#include <stdio.h>

#include "base/file.h"
#include "base/status.h"

static const char *const places[] = {
    "etc/ssl/certs/ca-certificates.crt",                 // Debian, Ubuntu, Arch, Gentoo
    "etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  // Fedora, RHEL
    "etc/pki/tls/certs/ca-bundle.crt",                   // older Fedora and RHEL
    "var/lib/ca-certificates/ca-bundle.pem",             // openSUSE, SLES
    "etc/ssl/ca-bundle.pem",                             // older openSUSE
    "etc/ssl/cert.pem",                                  // Alpine, Void
};

bool od_ca_bundle_find(const char *named, const char *root, char out[OD_PATH_MAX_BYTES])
{
    if (named && named[0] != '\0') {
        const int size = snprintf(out, OD_PATH_MAX_BYTES, "%s", named);
        if (size > 0 && size < OD_PATH_MAX_BYTES) {
            return true;
        }
        out[0] = '\0';
        return false;
    }
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        if (od_path_join(out, root, places[i], NULL) == OD_OK && od_path_exists(out)) {
            return true;
        }
    }
    out[0] = '\0';
    return false;
}
