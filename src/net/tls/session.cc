#include "net/tls/session.h"

#include <openssl/bio.h>
#include <openssl/err.h>

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "net/tls/hello_again.h"
#include "net/tls/material.h"

namespace keelson::net {

// The two ends that OpenSSL reads from and writes to. A write always succeeds.
struct TlsSession::Bio {
  static TlsSession& of(BIO* bio) { return *static_cast<TlsSession*>(BIO_get_data(bio)); }

  static int read(BIO* bio, char* into, int size) {
    BIO_clear_retry_flags(bio);
    std::string_view& input = of(bio).input_;
    if (input.empty()) {
      BIO_set_retry_read(bio);
      return -1;
    }
    const size_t n = std::min(input.size(), static_cast<size_t>(size));
    std::memcpy(into, input.data(), n);
    input.remove_prefix(n);
    return static_cast<int>(n);
  }

  static int write(BIO* bio, const char* bytes, int size) {
    BIO_clear_retry_flags(bio);
    of(bio).out_.append(bytes, static_cast<size_t>(size));
    return size;
  }

  static long control(BIO*, int command, long, void*) {  // NOLINT: OpenSSL's type
    return command == BIO_CTRL_FLUSH ? 1 : 0;
  }

  static BIO* make(TlsSession* session) {
    // Shared by all and never freed.
    static BIO_METHOD* method = [] {
      BIO_METHOD* m = BIO_meth_new(BIO_TYPE_SOURCE_SINK | BIO_get_new_index(), "keelson");
      BIO_meth_set_read(m, read);
      BIO_meth_set_write(m, write);
      BIO_meth_set_ctrl(m, control);
      return m;
    }();
    BIO* bio = BIO_new(method);
    CHECK(bio != nullptr);
    BIO_set_data(bio, session);
    BIO_set_init(bio, 1);
    return bio;
  }
};

TlsSession::TlsSession(std::shared_ptr<const TlsState> state)
    : state_(state), ssl_(state->make_session(&why_)) {
  join_bio();
}

TlsSession::TlsSession(std::shared_ptr<const TlsClientState> state, const std::string& host)
    : state_(state), ssl_(state->make_session(host, &why_)) {
  join_bio();
}

void TlsSession::join_bio() {
  BIO* bio = Bio::make(this);
  SSL_set_bio(ssl_.get(), bio, bio);
}

void TlsSession::set_input(std::string_view ciphertext) {
  CHECK(input_.empty());
  input_ = ciphertext;
}

void TlsSession::explain() {
  const std::optional<int> alert = openssl_alert();
  std::string text = openssl_error();
  if (!why_.empty()) return;
  why_ = alert ? "remote error: tls: " + alert_text(*alert) : "tls: " + text;
}

TlsSession::Step TlsSession::handshake() {
  ERR_clear_error();
  const int result = SSL_do_handshake(ssl_.get());
  if (result == 1) return Step::kDone;
  if (SSL_get_error(ssl_.get(), result) == SSL_ERROR_WANT_READ) return Step::kNeedInput;
  explain();
  return Step::kFailed;
}

TlsSession::Step TlsSession::ask_again(const std::string* cookie) {
  switch (ask_for_hello_again(ssl_.get(), cookie)) {
    case HelloAgain::kAsked:
      return Step::kAsked;
    case HelloAgain::kCannot:
      if (out_.empty()) return Step::kCannotAsk;
      break;
    case HelloAgain::kFailed:
      break;
  }
  explain();
  return Step::kFailed;
}

TlsSession::Step TlsSession::handshake_again(const std::string* cookie) {
  if (take_hello_again(ssl_.get(), cookie)) return handshake();
  explain();
  return Step::kFailed;
}

TlsSession::Read TlsSession::read(std::span<char> into, size_t* size) {
  *size = 0;
  while (*size < into.size()) {
    ERR_clear_error();
    size_t n = 0;
    const int result = SSL_read_ex(ssl_.get(), into.data() + *size, into.size() - *size, &n);
    if (result == 1) {
      *size += n;
      continue;
    }
    const int error = SSL_get_error(ssl_.get(), result);
    // What was read before comes first; an end or a fault is found again by the next read.
    if (*size > 0) {
      ended_ = error != SSL_ERROR_WANT_READ;
      break;
    }
    switch (error) {
      case SSL_ERROR_WANT_READ:
        return Read::kNeedInput;
      case SSL_ERROR_ZERO_RETURN:
        return Read::kEnd;
      default:
        explain();
        return Read::kFailed;
    }
  }
  return *size > 0 ? Read::kBytes : Read::kNeedInput;
}

bool TlsSession::write(std::string_view plaintext) {
  ERR_clear_error();
  size_t n = 0;
  if (SSL_write_ex(ssl_.get(), plaintext.data(), plaintext.size(), &n) == 1) {
    CHECK(n == plaintext.size());
    return true;
  }
  explain();
  return false;
}

void TlsSession::end_writing() {
  ERR_clear_error();
  SSL_shutdown(ssl_.get());
  ERR_clear_error();
}

std::string TlsSession::server_name() const {
  const char* name = SSL_get_servername(ssl_.get(), TLSEXT_NAMETYPE_host_name);
  return name ? name : "";
}

}  // namespace keelson::net
