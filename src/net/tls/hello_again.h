// net/tls/hello_again.h
//
// A client of TLS 1.3 can be asked to say hello again, with a cookie of ours in it, before any key
// has been touched and without any state: whoever does goes on, and is worth a handshake. (To a
// datagram's sender the same proves its address, which is what OpenSSL has it for.)
//
// Threads: as the SSL. Both calls get the connection's cookie; OpenSSL adds what it has to know of
//   the first hello, and a MAC under a key of the SSL_CTX, so both must be of the same one.

#pragma once

#include <openssl/ssl.h>

#include <string>

#include "absl/status/status.h"

namespace keelson::net {

// REQUIRES: nothing else uses the callback for a client's hello.
absl::Status allow_hello_again(SSL_CTX* ctx);

// Random. Empty when there is no randomness: then nobody can be asked.
std::string make_hello_cookie();

enum class HelloAgain {
  kAsked,   // and the SSL is of no further use
  kCannot,  // an older version, or a hello that is not complete: likewise, and nothing was said
  kFailed,  // an alert was
};

// `ssl` is new, and has the hello before it.
HelloAgain ask_for_hello_again(SSL* ssl, const std::string* cookie);

// The same with the second hello: true when the cookie was in it. Then the handshake goes on with
// SSL_do_handshake(); its first flight has been said.
bool take_hello_again(SSL* ssl, const std::string* cookie);

}  // namespace keelson::net
