// net/tls/material.h
//
// What the files of TlsSettings hold, read and parsed together. Nothing here knows of connections.
//
// Errors: those of reading name the file as Go's do ("open x: no such file or directory"); those of
//   parsing name the file and what is wrong with it.
// Threads: values; reading waits for the disk.

#pragma once

#include <openssl/evp.h>
#include <openssl/x509.h>

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "net/tls/settings.h"

namespace keelson::net {

template <auto Free>
struct OpensslDeleter {
  template <typename T>
  void operator()(T* object) const {
    Free(object);
  }
};
using X509Ptr = std::unique_ptr<X509, OpensslDeleter<X509_free>>;
using KeyPtr = std::unique_ptr<EVP_PKEY, OpensslDeleter<EVP_PKEY_free>>;

// The bytes of every file that is named; equal contents are equal material.
struct TlsFiles {
  std::string cert, key, client_cert, client_key, trusted_ca, crl;
  friend bool operator==(const TlsFiles&, const TlsFiles&) = default;
};

struct TlsMaterial {
  std::vector<X509Ptr> chain;  // the certificate first; empty if no file was named
  KeyPtr key;
  std::vector<X509Ptr> client_chain;  // the same for the certificate of a client
  KeyPtr client_key;
  std::vector<X509Ptr> authorities;       // empty without a bundle
  std::set<std::string> revoked_serials;  // big-endian, without leading zeros
};

absl::StatusOr<TlsFiles> read_tls_files(const TlsSettings& settings);
absl::StatusOr<TlsMaterial> parse_tls_files(const TlsSettings& settings, const TlsFiles& files);

// The serial number as revoked_serials has it.
std::string serial_bytes(const X509* certificate);

// The alert that the other side sent, if that is the newest error on this thread; and what Go's
// programs call it.
std::optional<int> openssl_alert();
std::string alert_text(int alert);

// The newest error that OpenSSL has left on this thread, and none left afterwards.
std::string openssl_error();

}  // namespace keelson::net
