// net/tls/test_ca.h
//
// Certificate authorities for tests: makes roots, certificates and revocation lists, and puts them
// into files.

#pragma once

#include <arpa/inet.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <atomic>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "base/check.h"
#include "net/tls/material.h"

namespace keelson::net {

struct TestCertificate {
  X509Ptr x509;
  KeyPtr key;

  std::string pem() const {
    BIO* bio = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(bio, x509.get());
    return text(bio);
  }
  std::string key_pem() const {
    BIO* bio = BIO_new(BIO_s_mem());
    PEM_write_bio_PrivateKey(bio, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
    return text(bio);
  }
  static std::string text(BIO* bio) {
    char* data = nullptr;
    auto size = BIO_get_mem_data(bio, &data);
    std::string out(data, static_cast<size_t>(size));
    BIO_free(bio);
    return out;
  }
};

class TestCa {
 public:
  struct Wanted {
    std::string common_name = {};
    std::string sans = "IP:127.0.0.1,DNS:localhost";  // OpenSSL's syntax; may be empty
    std::string usage = "serverAuth,clientAuth";
    int seconds = 3600;
    bool rsa = false;
  };

  explicit TestCa(const std::string& name) : name_(name) {
    self_.key.reset(EVP_EC_gen("P-256"));
    self_.x509 = blank(name, 24 * 3600, self_.key.get());
    extend(self_.x509.get(), NID_basic_constraints, "critical,CA:TRUE");
    extend(self_.x509.get(), NID_key_usage, "critical,keyCertSign,cRLSign");
    sign(self_.x509.get());
  }

  TestCertificate issue(const Wanted& wanted) const {
    TestCertificate made;
    made.key.reset(wanted.rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256"));
    made.x509 = blank(wanted.common_name, wanted.seconds, made.key.get());
    extend(made.x509.get(), NID_ext_key_usage, wanted.usage);
    if (!wanted.sans.empty()) extend(made.x509.get(), NID_subject_alt_name, wanted.sans);
    sign(made.x509.get());
    return made;
  }

  std::string pem() const { return self_.pem(); }

  // DER, version 2.
  std::string revoke(const std::vector<const TestCertificate*>& revoked) const {
    X509_CRL* crl = X509_CRL_new();
    X509_CRL_set_version(crl, X509_CRL_VERSION_2);
    X509_CRL_set_issuer_name(crl, X509_get_subject_name(self_.x509.get()));
    ASN1_TIME* now = X509_gmtime_adj(nullptr, 0);
    X509_CRL_set1_lastUpdate(crl, now);
    for (const TestCertificate* certificate : revoked) {
      X509_REVOKED* entry = X509_REVOKED_new();
      X509_REVOKED_set_serialNumber(entry, X509_get_serialNumber(certificate->x509.get()));
      X509_REVOKED_set_revocationDate(entry, now);
      X509_CRL_add0_revoked(crl, entry);
    }
    ASN1_TIME_free(now);
    X509_CRL_sign(crl, self_.key.get(), EVP_sha256());
    unsigned char* der = nullptr;
    const int size = i2d_X509_CRL(crl, &der);
    std::string out(reinterpret_cast<char*>(der), static_cast<size_t>(size));
    OPENSSL_free(der);
    X509_CRL_free(crl);
    return out;
  }

 private:
  X509Ptr blank(const std::string& common_name, int seconds, EVP_PKEY* key) const {
    static std::atomic<long> next_serial{0x1001};  // NOLINT: OpenSSL's type
    X509Ptr made(X509_new());
    X509_set_version(made.get(), X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(made.get()), next_serial++);
    X509_gmtime_adj(X509_getm_notBefore(made.get()), std::min(-60, seconds - 60));
    X509_gmtime_adj(X509_getm_notAfter(made.get()), seconds);
    X509_NAME* subject = X509_get_subject_name(made.get());
    X509_NAME_add_entry_by_txt(subject, "O", MBSTRING_UTF8,
                               reinterpret_cast<const unsigned char*>("test"), -1, -1, 0);
    if (!common_name.empty()) {
      X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
                                 reinterpret_cast<const unsigned char*>(common_name.c_str()), -1,
                                 -1, 0);
    }
    X509_set_issuer_name(made.get(),
                         self_.x509 ? X509_get_subject_name(self_.x509.get()) : subject);
    X509_set_pubkey(made.get(), key);
    return made;
  }
  static void extend(X509* certificate, int nid, const std::string& value) {
    X509V3_CTX context;
    X509V3_set_ctx(&context, certificate, certificate, nullptr, nullptr, 0);
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
    CHECK(extension != nullptr);
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
  }
  void sign(X509* certificate) const {
    CHECK(X509_sign(certificate, self_.key.get(), EVP_sha256()) > 0);
  }

  const std::string name_;
  TestCertificate self_;
};

// Written beside and moved into place, as those who rotate certificates do.
inline void put_file(const std::string& path, const std::string& bytes) {
  {
    std::ofstream file(path + ".new", std::ios::binary);
    file << bytes;
    CHECK(file.good());
  }
  CHECK(std::rename((path + ".new").c_str(), path.c_str()) == 0);
}

}  // namespace keelson::net
