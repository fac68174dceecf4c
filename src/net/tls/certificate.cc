#include "net/tls/certificate.h"

#include <arpa/inet.h>
#include <openssl/bn.h>
#include <openssl/x509v3.h>

#include <memory>

#include "base/text.h"

namespace keelson::net {
namespace {

std::string text_of(const ASN1_STRING* value) {
  unsigned char* utf8 = nullptr;
  int size = value ? ASN1_STRING_to_UTF8(&utf8, value) : -1;
  if (size < 0) return "";
  std::string text(reinterpret_cast<char*>(utf8), static_cast<size_t>(size));
  OPENSSL_free(utf8);
  return text;
}

std::vector<std::string> entries(X509* certificate, int nid) {
  std::vector<std::string> found;
  X509_NAME* subject = X509_get_subject_name(certificate);
  for (int at = X509_NAME_get_index_by_NID(subject, nid, -1); at >= 0;
       at = X509_NAME_get_index_by_NID(subject, nid, at)) {
    found.push_back(text_of(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at))));
  }
  return found;
}

std::string address_text(const ASN1_OCTET_STRING* bytes) {
  char text[INET6_ADDRSTRLEN] = "";
  const int size = ASN1_STRING_length(bytes);
  if (size == 4) inet_ntop(AF_INET, ASN1_STRING_get0_data(bytes), text, sizeof(text));
  if (size == 16) inet_ntop(AF_INET6, ASN1_STRING_get0_data(bytes), text, sizeof(text));
  return text;
}

std::string serial_text(X509* certificate) {
  std::unique_ptr<BIGNUM, decltype(&BN_free)> number(
      ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), nullptr), &BN_free);
  char* hex = number ? BN_bn2hex(number.get()) : nullptr;
  std::string text = hex ? hex : "";
  OPENSSL_free(hex);
  return text;
}

bool is_address(const std::string& host) {
  unsigned char bytes[16];
  return inet_pton(AF_INET, host.c_str(), bytes) == 1 ||
         inet_pton(AF_INET6, host.c_str(), bytes) == 1;
}

}  // namespace

TlsIdentity identity_of(X509* certificate) {
  TlsIdentity identity;
  std::vector<std::string> names = entries(certificate, NID_commonName);
  if (!names.empty()) identity.common_name = names.back();
  identity.organizations = entries(certificate, NID_organizationName);
  identity.serial = serial_text(certificate);
  auto* sans = static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  for (int i = 0; i < sk_GENERAL_NAME_num(sans); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(sans, i);
    if (name->type == GEN_DNS) identity.dns_names.push_back(text_of(name->d.dNSName));
    if (name->type == GEN_IPADD) identity.ip_addresses.push_back(address_text(name->d.iPAddress));
  }
  GENERAL_NAMES_free(sans);
  return identity;
}

bool names_host(X509* certificate, const std::string& host) {
  if (is_address(host)) return X509_check_ip_asc(certificate, host.c_str(), 0) == 1;
  constexpr unsigned kFlags =
      X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS;
  return X509_check_host(certificate, host.data(), host.size(), kFlags, nullptr) == 1;
}

}  // namespace keelson::net
