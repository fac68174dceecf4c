// net/tls/ssl_setup.h
//
// What both sides of TLS set up alike in OpenSSL.
//
// Threads: values and functions.

#pragma once

#include <openssl/ssl.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "net/tls/material.h"

namespace keelson::net {

using SslCtxPtr = std::unique_ptr<SSL_CTX, OpensslDeleter<SSL_CTX_free>>;
using StorePtr = std::unique_ptr<X509_STORE, OpensslDeleter<X509_STORE_free>>;

// Versions, suites, curves and what is never on.
absl::Status set_up_basics(SSL_CTX* ctx, const TlsSettings& settings);

// `name` is for the error. An empty chain shows nothing.
absl::Status use_certificate(SSL_CTX* ctx, const std::vector<X509Ptr>& chain, EVP_PKEY* key,
                             const std::string& name);

// As in Go, whatever stands in the bundle is trusted, be it a root or not; without a bundle the
// system's roots.
absl::StatusOr<StorePtr> make_store(const std::vector<X509Ptr>& authorities);

// The rules that settings break whichever side they are for.
absl::Status check_common_rules(const TlsSettings& settings);

// Whether one entry of the lists (of which one at most is not empty) allows the certificate.
bool is_allowed(X509* leaf, const std::vector<std::string>& cns,
                const std::vector<std::string>& hostnames);

// OpenSSL's, when the library itself fails.
absl::Status openssl_failure(std::string_view what);

}  // namespace keelson::net
