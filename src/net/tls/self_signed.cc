#include "net/tls/self_signed.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "base/log.h"
#include "base/text.h"
#include "net/tls/material.h"

namespace keelson::net {
namespace {

namespace fs = std::filesystem;
using BioPtr = std::unique_ptr<BIO, OpensslDeleter<BIO_free_all>>;
using BnPtr = std::unique_ptr<BIGNUM, OpensslDeleter<BN_free>>;

absl::Status failed(std::string_view what) {
  return absl::InternalError(cat("cannot generate cert: ", what, ": ", openssl_error()));
}

// Without port and brackets; empty if there is no port, as Go's SplitHostPort leaves it.
std::string host_of(std::string_view host_port) {
  const size_t colon = host_port.rfind(':');
  if (colon == std::string_view::npos) return "";
  std::string_view host = host_port.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  return std::string(host);
}

std::string alternative_names(const std::vector<std::string>& hosts) {
  std::string text;
  for (const std::string& host_port : hosts) {
    const std::string host = host_of(host_port);
    // What OpenSSL's syntax would give a meaning to is not in a name that can be listened on.
    if (host.empty() || host.find_first_of(",;= \n") != std::string::npos) continue;
    unsigned char bytes[16];
    const bool is_address = inet_pton(AF_INET, host.c_str(), bytes) == 1 ||
                            inet_pton(AF_INET6, host.c_str(), bytes) == 1;
    text += cat(text.empty() ? "" : ",", is_address ? "IP:" : "DNS:", host);
  }
  return text;
}

bool extend(X509* certificate, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, certificate, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
  if (extension == nullptr) return false;
  const bool added = X509_add_ext(certificate, extension, -1) == 1;
  X509_EXTENSION_free(extension);
  return added;
}

absl::StatusOr<X509Ptr> make_certificate(EVP_PKEY* key, const std::vector<std::string>& hosts,
                                         uint64_t years) {
  X509Ptr certificate(X509_new());
  BnPtr serial(BN_new());
  if (!certificate || !serial || BN_rand(serial.get(), 127, BN_RAND_TOP_ANY, 0) != 1) {
    return failed("serial number");
  }
  BN_to_ASN1_INTEGER(serial.get(), X509_get_serialNumber(certificate.get()));
  X509_set_version(certificate.get(), X509_VERSION_3);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), 0);
  // No date beyond what a certificate can hold.
  const int days = static_cast<int>(std::min<uint64_t>(years, 7000) * 365);
  X509_time_adj_ex(X509_getm_notAfter(certificate.get()), days, 0, nullptr);
  X509_NAME* name = X509_get_subject_name(certificate.get());
  X509_NAME_add_entry_by_txt(name, "O", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>("etcd"), -1, -1, 0);
  X509_set_issuer_name(certificate.get(), name);
  X509_set_pubkey(certificate.get(), key);
  const std::string names = alternative_names(hosts);
  if (!extend(certificate.get(), NID_key_usage,
              "critical,digitalSignature,keyEncipherment,cRLSign") ||
      !extend(certificate.get(), NID_ext_key_usage, "serverAuth") ||
      !extend(certificate.get(), NID_basic_constraints, "critical,CA:TRUE") ||
      !extend(certificate.get(), NID_subject_key_identifier, "hash") ||
      (!names.empty() && !extend(certificate.get(), NID_subject_alt_name, names))) {
    return failed("extension");
  }
  if (X509_sign(certificate.get(), key, EVP_sha512()) == 0) return failed("signature");
  return certificate;
}

absl::Status write_file(const std::string& path, mode_t mode, BIO* pem) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
  char* data = nullptr;
  const long size = BIO_get_mem_data(pem, &data);  // NOLINT: OpenSSL's type
  const bool written =
      fd >= 0 && ::write(fd, data, static_cast<size_t>(size)) == size && ::fsync(fd) == 0;
  const int error = errno;
  if (fd >= 0) ::close(fd);
  if (!written) return absl::InternalError(cat("open ", path, ": ", std::strerror(error)));
  return absl::OkStatus();
}

absl::Status make_pair(const SelfSigned& files, const std::vector<std::string>& hosts,
                       uint64_t years) {
  KeyPtr key(EVP_EC_gen("P-521"));
  if (!key) return failed("ECDSA key");
  absl::StatusOr<X509Ptr> certificate = make_certificate(key.get(), hosts, years);
  if (!certificate.ok()) return certificate.status();
  BioPtr cert_pem(BIO_new(BIO_s_mem())), key_pem(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_X509(cert_pem.get(), certificate->get()) != 1 ||
      PEM_write_bio_PrivateKey_traditional(key_pem.get(), key.get(), nullptr, nullptr, 0, nullptr,
                                           nullptr) != 1) {
    return failed("PEM");
  }
  if (absl::Status s = write_file(files.cert_file, 0644, cert_pem.get()); !s.ok()) return s;
  log::info("created cert file", {{"path", files.cert_file}});
  if (absl::Status s = write_file(files.key_file, 0600, key_pem.get()); !s.ok()) return s;
  log::info("created key file", {{"path", files.key_file}});
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<SelfSigned> self_signed(const std::string& directory,
                                       const std::vector<std::string>& hosts,
                                       uint64_t validity_years) {
  if (validity_years == 0) {
    return absl::InvalidArgumentError(
        "selfSignedCertValidity is invalid,it should be greater than 0");
  }
  std::error_code error;
  const fs::path absolute = fs::absolute(directory, error).lexically_normal();
  fs::create_directories(absolute, error);
  if (!error) fs::permissions(absolute, fs::perms::owner_all, error);
  if (error) return absl::InternalError(cat("mkdir ", directory, ": ", error.message()));
  SelfSigned files{(absolute / "cert.pem").string(), (absolute / "key.pem").string()};
  if (fs::exists(files.cert_file, error) && fs::exists(files.key_file, error)) return files;
  log::warn("automatically generate certificates", {{"validity-years", validity_years}});
  if (absl::Status s = make_pair(files, hosts, validity_years); !s.ok()) return s;
  return files;
}

}  // namespace keelson::net
