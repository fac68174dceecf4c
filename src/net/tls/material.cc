#include "net/tls/material.h"

#include <openssl/asn1.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#include "base/text.h"

namespace keelson::net {
namespace {

using BioPtr = std::unique_ptr<BIO, OpensslDeleter<BIO_free_all>>;
using CrlPtr = std::unique_ptr<X509_CRL, OpensslDeleter<X509_CRL_free>>;

constexpr size_t kLargestFile = 16 << 20;

absl::Status bad_file(std::string_view path, std::string_view why) {
  return absl::InvalidArgumentError(cat(path, ": ", why));
}

absl::Status read_file(const std::string& path, std::string* out) {
  if (path.empty()) return absl::OkStatus();
  // They are read again whenever they change: from a pipe that would hang, at the start or later.
  struct stat found;
  if (::stat(path.c_str(), &found) == 0 && S_ISFIFO(found.st_mode)) {
    return bad_file(path, "a pipe, not a file");
  }
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (!file || !(text << file.rdbuf())) {
    if (file && file.peek() == EOF && errno == 0) return absl::OkStatus();  // empty: judged below
    std::string why = std::strerror(errno);
    if (!why.empty()) why[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(why[0])));
    return absl::InvalidArgumentError(cat("open ", path, ": ", why));
  }
  *out = std::move(text).str();
  if (out->size() > kLargestFile) return bad_file(path, "the file is too large");
  return absl::OkStatus();
}

BioPtr over(const std::string& bytes) {
  return BioPtr(BIO_new_mem_buf(bytes.data(), static_cast<int>(bytes.size())));
}

// Every certificate of a PEM text; other kinds of blocks are passed over.
absl::StatusOr<std::vector<X509Ptr>> certificates(const std::string& path, const std::string& pem) {
  std::vector<X509Ptr> found;
  BioPtr bio = over(pem);
  ERR_clear_error();
  while (true) {
    char* name = nullptr;
    char* header = nullptr;
    unsigned char* data = nullptr;
    long size = 0;  // NOLINT: OpenSSL's type
    if (PEM_read_bio(bio.get(), &name, &header, &data, &size) != 1) break;
    std::string kind = name;
    const unsigned char* at = data;
    X509Ptr certificate;
    if (kind == PEM_STRING_X509) certificate.reset(d2i_X509(nullptr, &at, size));
    OPENSSL_free(name);
    OPENSSL_free(header);
    OPENSSL_free(data);
    if (kind != PEM_STRING_X509) continue;
    if (!certificate) return bad_file(path, cat("not a certificate: ", openssl_error()));
    found.push_back(std::move(certificate));
  }
  const bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  std::string why = openssl_error();
  if (!at_end) return bad_file(path, cat("not PEM: ", why));
  return found;
}

// A key under a password is refused: nobody is there to be asked for it.
int no_password(char*, int, int, void*) { return -1; }

absl::Status parse_pair(const std::string& cert_path, const std::string& cert,
                        const std::string& key_path, const std::string& key,
                        std::vector<X509Ptr>* chain, KeyPtr* out) {
  absl::StatusOr<std::vector<X509Ptr>> found = certificates(cert_path, cert);
  if (!found.ok()) return found.status();
  if (found->empty()) {
    return bad_file(cert_path, "tls: failed to find any PEM data in certificate input");
  }
  BioPtr bio = over(key);
  KeyPtr parsed(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_password, nullptr));
  if (!parsed) {
    openssl_error();
    return bad_file(key_path, "tls: failed to find any usable PEM data in key input");
  }
  if (X509_check_private_key(found->front().get(), parsed.get()) != 1) {
    openssl_error();
    return bad_file(key_path, "tls: private key does not match public key");
  }
  *chain = *std::move(found);
  *out = std::move(parsed);
  return absl::OkStatus();
}

absl::Status parse_crl(const std::string& path, const std::string& der,
                       std::set<std::string>* serials) {
  if (der.find("-----BEGIN") != std::string::npos) {
    return bad_file(path,
                    "the revocation list is PEM; etcd reads DER only (openssl crl "
                    "-outform DER)");
  }
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  CrlPtr crl(d2i_X509_CRL(nullptr, &at, static_cast<int>(der.size())));
  if (!crl) return bad_file(path, cat("x509: malformed crl: ", openssl_error()));
  if (X509_CRL_get_version(crl.get()) != X509_CRL_VERSION_2) {
    return bad_file(path, "x509: unsupported crl version");
  }
  STACK_OF(X509_REVOKED)* revoked = X509_CRL_get_REVOKED(crl.get());
  for (int i = 0; i < sk_X509_REVOKED_num(revoked); ++i) {
    const ASN1_INTEGER* serial = X509_REVOKED_get0_serialNumber(sk_X509_REVOKED_value(revoked, i));
    const auto* bytes = reinterpret_cast<const char*>(ASN1_STRING_get0_data(serial));
    std::string_view text(bytes, static_cast<size_t>(ASN1_STRING_length(serial)));
    while (text.starts_with('\0')) text.remove_prefix(1);
    serials->insert(std::string(text));
  }
  return absl::OkStatus();
}

}  // namespace

std::optional<int> openssl_alert() {
  const unsigned long code = ERR_peek_last_error();  // NOLINT: OpenSSL's type
  const int reason = ERR_GET_REASON(code);
  if (ERR_GET_LIB(code) != ERR_LIB_SSL || reason < SSL_AD_REASON_OFFSET) return std::nullopt;
  return reason - SSL_AD_REASON_OFFSET;
}

std::string alert_text(int alert) {
  constexpr std::pair<int, std::string_view> kTexts[] = {{0, "close notify"},
                                                         {10, "unexpected message"},
                                                         {20, "bad record MAC"},
                                                         {21, "decryption failed"},
                                                         {22, "record overflow"},
                                                         {30, "decompression failure"},
                                                         {40, "handshake failure"},
                                                         {42, "bad certificate"},
                                                         {43, "unsupported certificate"},
                                                         {44, "revoked certificate"},
                                                         {45, "expired certificate"},
                                                         {46, "unknown certificate"},
                                                         {47, "illegal parameter"},
                                                         {48, "unknown certificate authority"},
                                                         {49, "access denied"},
                                                         {50, "error decoding message"},
                                                         {51, "error decrypting message"},
                                                         {60, "export restriction"},
                                                         {70, "protocol version not supported"},
                                                         {71, "insufficient security level"},
                                                         {80, "internal error"},
                                                         {86, "inappropriate fallback"},
                                                         {90, "user canceled"},
                                                         {100, "no renegotiation"},
                                                         {109, "missing extension"},
                                                         {110, "unsupported extension"},
                                                         {111, "certificate unobtainable"},
                                                         {112, "unrecognized name"},
                                                         {113, "bad certificate status response"},
                                                         {114, "bad certificate hash value"},
                                                         {115, "unknown PSK identity"},
                                                         {116, "certificate required"},
                                                         {120, "no application protocol"},
                                                         {121, "encrypted client hello required"}};
  for (const auto& [known, text] : kTexts) {
    if (known == alert) return std::string(text);
  }
  return cat("alert(", alert, ")");
}

std::string openssl_error() {
  const unsigned long code = ERR_peek_last_error();  // NOLINT: OpenSSL's type
  const char* reason = code ? ERR_reason_error_string(code) : nullptr;
  std::string text = reason ? reason : "unknown error";
  ERR_clear_error();
  return text;
}

std::string serial_bytes(const X509* certificate) {
  const ASN1_INTEGER* serial = X509_get0_serialNumber(certificate);
  std::string_view text(reinterpret_cast<const char*>(ASN1_STRING_get0_data(serial)),
                        static_cast<size_t>(ASN1_STRING_length(serial)));
  while (text.starts_with('\0')) text.remove_prefix(1);
  return std::string(text);
}

absl::StatusOr<TlsFiles> read_tls_files(const TlsSettings& settings) {
  TlsFiles files;
  const std::pair<const std::string&, std::string*> all[] = {
      {settings.cert_file, &files.cert},
      {settings.key_file, &files.key},
      {settings.client_cert_file, &files.client_cert},
      {settings.client_key_file, &files.client_key},
      {settings.trusted_ca_file, &files.trusted_ca},
      {settings.crl_file, &files.crl}};
  for (const auto& [path, into] : all) {
    if (absl::Status s = read_file(path, into); !s.ok()) return s;
  }
  return files;
}

absl::StatusOr<TlsMaterial> parse_tls_files(const TlsSettings& settings, const TlsFiles& files) {
  TlsMaterial material;
  if (!settings.cert_file.empty()) {
    if (absl::Status s = parse_pair(settings.cert_file, files.cert, settings.key_file, files.key,
                                    &material.chain, &material.key);
        !s.ok()) {
      return s;
    }
  }
  if (!settings.client_cert_file.empty()) {
    if (absl::Status s =
            parse_pair(settings.client_cert_file, files.client_cert, settings.client_key_file,
                       files.client_key, &material.client_chain, &material.client_key);
        !s.ok()) {
      return s;
    }
  }
  if (!settings.trusted_ca_file.empty()) {
    absl::StatusOr<std::vector<X509Ptr>> found =
        certificates(settings.trusted_ca_file, files.trusted_ca);
    if (!found.ok()) return found.status();
    if (found->empty()) return bad_file(settings.trusted_ca_file, "no certificate in it");
    material.authorities = *std::move(found);
  }
  if (!settings.crl_file.empty()) {
    if (absl::Status s = parse_crl(settings.crl_file, files.crl, &material.revoked_serials);
        !s.ok()) {
      return s;
    }
  }
  return material;
}

}  // namespace keelson::net
