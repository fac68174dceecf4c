// net/tls/certificate.h
//
// What is read out of one certificate.

#pragma once

#include <openssl/x509.h>

#include <string>

#include "net/tls/identity.h"

namespace keelson::net {

TlsIdentity identity_of(X509* certificate);

// Go's VerifyHostname(): an IP address by the SANs of that kind, a name by the DNS names with their
// wildcards; never by the common name.
bool names_host(X509* certificate, const std::string& host);

}  // namespace keelson::net
