// tests/harness/tls.h
//
// KEELSON_TEST_TLS=1 in the environment: the servers that tests start serve clients under TLS, with
// a certificate made here, and the harness's clients speak it. (RawConnection does not.)
//
// Threads: any. Lifetime: of the process; its files are removed at the end.

#pragma once

#include <string>

namespace keelson::harness {

struct TestTls {
  std::string certificate;  // paths
  std::string key;
  std::string pem;  // the certificate itself, which clients are to trust
};

// Null: the switch is off. Ends the process where there is no openssl to make a certificate with.
const TestTls* test_tls();

}  // namespace keelson::harness
