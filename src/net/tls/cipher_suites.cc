// Go's names of cipher suites, and what OpenSSL calls them.

#include <openssl/ssl.h>

#include <algorithm>
#include <memory>

#include "base/text.h"
#include "net/grpc_codec.h"
#include "net/tls/settings.h"

namespace keelson::net {
namespace {

struct Suite {
  std::string_view go;
  std::string_view openssl;  // empty: a suite of TLS 1.3, which is not chosen by name
};

// Go 1.2x: tls.CipherSuites(), then tls.InsecureCipherSuites(), then etcd's old names.
constexpr Suite kSuites[] = {
    {"TLS_AES_128_GCM_SHA256", ""},
    {"TLS_AES_256_GCM_SHA384", ""},
    {"TLS_CHACHA20_POLY1305_SHA256", ""},
    {"TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA", "ECDHE-ECDSA-AES128-SHA"},
    {"TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", "ECDHE-ECDSA-AES256-SHA"},
    {"TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", "ECDHE-RSA-AES128-SHA"},
    {"TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", "ECDHE-RSA-AES256-SHA"},
    {"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"},
    {"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "ECDHE-ECDSA-AES256-GCM-SHA384"},
    {"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "ECDHE-RSA-AES128-GCM-SHA256"},
    {"TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "ECDHE-RSA-AES256-GCM-SHA384"},
    {"TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-RSA-CHACHA20-POLY1305"},
    {"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"},
    {"TLS_RSA_WITH_RC4_128_SHA", "RC4-SHA"},
    {"TLS_RSA_WITH_3DES_EDE_CBC_SHA", "DES-CBC3-SHA"},
    {"TLS_RSA_WITH_AES_128_CBC_SHA", "AES128-SHA"},
    {"TLS_RSA_WITH_AES_256_CBC_SHA", "AES256-SHA"},
    {"TLS_RSA_WITH_AES_128_CBC_SHA256", "AES128-SHA256"},
    {"TLS_RSA_WITH_AES_128_GCM_SHA256", "AES128-GCM-SHA256"},
    {"TLS_RSA_WITH_AES_256_GCM_SHA384", "AES256-GCM-SHA384"},
    {"TLS_ECDHE_ECDSA_WITH_RC4_128_SHA", "ECDHE-ECDSA-RC4-SHA"},
    {"TLS_ECDHE_RSA_WITH_RC4_128_SHA", "ECDHE-RSA-RC4-SHA"},
    {"TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA", "ECDHE-RSA-DES-CBC3-SHA"},
    {"TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256", "ECDHE-ECDSA-AES128-SHA256"},
    {"TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256", "ECDHE-RSA-AES128-SHA256"},
    {"TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305", "ECDHE-RSA-CHACHA20-POLY1305"},
    {"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305", "ECDHE-ECDSA-CHACHA20-POLY1305"},
};

// What Go offers when nothing is said, in its order.
constexpr std::string_view kDefault =
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:"
    "ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA:ECDHE-RSA-AES256-SHA";

const Suite* find_suite(std::string_view go) {
  auto found = std::find_if(std::begin(kSuites), std::end(kSuites),
                            [&](const Suite& suite) { return suite.go == go; });
  return found == std::end(kSuites) ? nullptr : found;
}

// Distributions build OpenSSL without the suites that nobody should use any more.
bool can_speak(std::string_view openssl) {
  std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> ctx(SSL_CTX_new(TLS_server_method()),
                                                        &SSL_CTX_free);
  return ctx && SSL_CTX_set_cipher_list(ctx.get(), std::string(openssl).c_str()) == 1;
}

}  // namespace

absl::Status check_cipher_names(const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    if (find_suite(name) == nullptr) {
      return absl::InvalidArgumentError(cat("unexpected TLS cipher suite ", quoted(name)));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> cipher_list(const std::vector<std::string>& names) {
  if (absl::Status s = check_cipher_names(names); !s.ok()) return s;
  if (names.empty()) return std::string(kDefault);
  std::string list;
  bool has_required = false;
  for (const std::string& name : names) {
    const Suite* suite = find_suite(name);
    if (suite->openssl.empty()) continue;
    if (!can_speak(suite->openssl)) {
      return absl::InvalidArgumentError(
          cat("TLS cipher suite ", quoted(name), " is not supported by this build of OpenSSL"));
    }
    has_required = has_required || suite->openssl == "ECDHE-RSA-AES128-GCM-SHA256" ||
                   suite->openssl == "ECDHE-ECDSA-AES128-GCM-SHA256";
    list += (list.empty() ? "" : ":") + std::string(suite->openssl);
  }
  if (!has_required) {
    return absl::InvalidArgumentError(
        "http2: TLSConfig.CipherSuites is missing an HTTP/2-required AES_128_GCM_SHA256 cipher "
        "(need at least one of TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 or "
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256)");
  }
  return list;
}

}  // namespace keelson::net
