// net/tls/settings.h
//
// TlsSettings is what one side of TLS was told, a server or whoever connects to its like: files,
// versions, suites, and which certificates of the other side it takes. The rules are etcd's
// (v3.7.1, client/pkg/transport/listener.go, TLSInfo); defaults are those of Go's crypto/tls, so
// that clients meet what they meet at etcd.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace keelson::net {

enum class TlsVersion { kTls12, kTls13 };

struct TlsSettings {
  std::string cert_file, key_file;  // PEM: the certificate with its chain, and its key
  // Shown when the member is a client, instead of the above. Both or none.
  std::string client_cert_file, client_key_file;
  std::string trusted_ca_file;    // PEM bundle. Given, clients must show a certificate of it
  bool client_cert_auth = false;  // they must; without a bundle the system's roots count
  std::string crl_file;           // DER, version 2. Serial numbers in it are refused, of any issuer
  // One of the two at most; a client certificate must match one entry.
  std::vector<std::string> allowed_cns;
  std::vector<std::string> allowed_hostnames;

  TlsVersion min_version = TlsVersion::kTls12;
  std::optional<TlsVersion> max_version;   // the newest there is, if not set
  std::vector<std::string> cipher_suites;  // Go's names; empty: Go's defaults

  // As a client: whom the server's certificate has to name; empty: the host that is connected to.
  std::string server_name;
  // As a client: take whatever certificate the server has.
  bool insecure_skip_verify = false;

  bool asks_for_certificates() const { return client_cert_auth || !trusted_ca_file.empty(); }
};

// OpenSSL's cipher list for Go's names of TLS 1.2 suites (those of 1.3 are always on, in Go too);
// the default list for none. Errors: a name that Go does not know (etcd's text), one that this
// library cannot speak, a list without a suite that HTTP/2 demands (Go's text).
absl::StatusOr<std::string> cipher_list(const std::vector<std::string>& names);

// An unknown name, and nothing else: what etcd finds out even when nothing is served over TLS.
absl::Status check_cipher_names(const std::vector<std::string>& names);

}  // namespace keelson::net
