#include "net/tls/hello_again.h"

#include <openssl/err.h>
#include <openssl/rand.h>

#include <cstring>

#include "base/check.h"
#include "net/tls/ssl_setup.h"

namespace keelson::net {
namespace {

struct Asking {
  const std::string* cookie = nullptr;
  bool first = false;
};

// Where an SSL has its Asking, if somebody asks.
int place() {
  static const int index = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}

const Asking* asking(const SSL* ssl) {
  return static_cast<const Asking*>(SSL_get_ex_data(ssl, place()));
}

int make_cookie(SSL* ssl, unsigned char* into, size_t* size) {
  const Asking* now = asking(ssl);
  if (!now) return 0;
  CHECK(now->cookie->size() <= SSL_COOKIE_LENGTH);
  std::memcpy(into, now->cookie->data(), now->cookie->size());
  *size = now->cookie->size();
  return 1;
}

int check_cookie(SSL* ssl, const unsigned char* bytes, size_t size) {
  const Asking* now = asking(ssl);
  return now && std::string_view(reinterpret_cast<const char*>(bytes), size) == *now->cookie;
}

bool offers_tls13(SSL* ssl) {
  const unsigned char* data = nullptr;
  size_t size = 0;
  if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_supported_versions, &data, &size) != 1) {
    return false;
  }
  for (size_t at = 1; at + 1 < size; at += 2) {
    if (data[at] * 256 + data[at + 1] == TLS1_3_VERSION) return true;
  }
  return false;
}

// Before anything is done with a hello. Whoever cannot be asked is left as it was.
int look_at_hello(SSL* ssl, int*, void*) {
  const Asking* now = asking(ssl);
  if (!now || !now->first || offers_tls13(ssl)) return SSL_CLIENT_HELLO_SUCCESS;
  return SSL_CLIENT_HELLO_RETRY;
}

int run_stateless(SSL* ssl, const Asking& now) {
  CHECK(SSL_set_ex_data(ssl, place(), const_cast<Asking*>(&now)) == 1);
  ERR_clear_error();
  const int result = SSL_stateless(ssl);
  CHECK(SSL_set_ex_data(ssl, place(), nullptr) == 1);
  return result;
}

}  // namespace

absl::Status allow_hello_again(SSL_CTX* ctx) {
  if (place() < 0) return openssl_failure("no place for data of ours");
  SSL_CTX_set_stateless_cookie_generate_cb(ctx, make_cookie);
  SSL_CTX_set_stateless_cookie_verify_cb(ctx, check_cookie);
  SSL_CTX_set_client_hello_cb(ctx, look_at_hello, nullptr);
  return absl::OkStatus();
}

std::string make_hello_cookie() {
  unsigned char bytes[16];
  if (RAND_bytes(bytes, sizeof(bytes)) != 1) return "";
  return {reinterpret_cast<const char*>(bytes), sizeof(bytes)};
}

HelloAgain ask_for_hello_again(SSL* ssl, const std::string* cookie) {
  if (cookie->empty()) return HelloAgain::kCannot;
  const int most = static_cast<int>(SSL_get_max_proto_version(ssl));
  if (most != 0 && most < TLS1_3_VERSION) return HelloAgain::kCannot;
  const int result = run_stateless(ssl, {cookie, true});
  if (result == 0) return HelloAgain::kAsked;
  const int why = SSL_get_error(ssl, -1);
  const bool waits = why == SSL_ERROR_WANT_CLIENT_HELLO_CB || why == SSL_ERROR_WANT_READ;
  return result < 0 && waits ? HelloAgain::kCannot : HelloAgain::kFailed;
}

bool take_hello_again(SSL* ssl, const std::string* cookie) {
  return run_stateless(ssl, {cookie, false}) == 1;
}

}  // namespace keelson::net
