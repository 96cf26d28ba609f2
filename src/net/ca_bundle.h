/**
 * @file
 * Where this machine keeps the certificates of the authorities that it trusts: one PEM file, under
 * a name that differs between distributions.
 *
 * @source Debian, Fedora, openSUSE and Alpine: packages ca-certificates.
 * @thread Re-entrant.
 */
#ifndef OD_NET_CA_BUNDLE_H
#define OD_NET_CA_BUNDLE_H

#include <stdbool.h>

#include "base/file.h"

/**
 * The bundle: `named` where it is given (what SSL_CERT_FILE says; it is not looked at, so that a
 * wrong name is an error of its user and not another file), else the first usual place that exists.
 *
 * @param root  "/" for this machine; a test names another folder.
 * @return false, and `out` empty, when there is none.
 */
bool od_ca_bundle_find(const char *named, const char *root, char out[OD_PATH_MAX_BYTES]);

#endif
