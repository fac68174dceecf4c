// net/tls/session.h
//
// TlsSession is one connection's TLS, without the connection: ciphertext is put before it and taken
// from it, so neither OpenSSL nor this knows of sockets.
//
// Threads: one at a time; a handshake's steps run on workers, everything else on the loop.
// Bounds: out() grows by what write() is given and by the handshake; whoever calls write() looks at
//   it first.

#pragma once

#include <openssl/ssl.h>

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/check.h"
#include "net/tls/client_context.h"
#include "net/tls/context.h"

namespace keelson::net {

class TlsSession {
 public:
  // kAsked: for a second hello; kCannotAsk: nothing was done. After either the session is over.
  enum class Step { kDone, kNeedInput, kFailed, kAsked, kCannotAsk };
  enum class Read { kBytes, kNeedInput, kEnd, kFailed };

  // A record's plaintext, at most.
  static constexpr size_t kRecord = 16 << 10;

  // A server's end, and a client's of a connection to `host`.
  explicit TlsSession(std::shared_ptr<const TlsState> state);
  TlsSession(std::shared_ptr<const TlsClientState> state, const std::string& host);

  // What came in. Must live until it has been used up (input_left() == 0).
  // REQUIRES: input_left() == 0.
  void set_input(std::string_view ciphertext);
  size_t input_left() const { return input_.size(); }
  std::string_view input() const { return input_; }
  // What is left of it lives there from here on. REQUIRES: the same bytes.
  void move_input(std::string_view to) {
    CHECK(to.size() == input_.size());
    input_ = to;
  }

  // Goes on with the handshake as far as the input takes it. Expensive.
  Step handshake();
  // Instead, of a server's end whose input is a hello: asks the client to say it again, which is
  // cheap. A session of the same state, the second hello before it, then goes on with
  // handshake_again(). Both with the same cookie (net/tls/hello_again.h).
  Step ask_again(const std::string* cookie);
  Step handshake_again(const std::string* cookie);

  // Decrypts into `into` until it is full or the input is used up. kBytes: `*size` > 0 of them.
  Read read(std::span<char> into, size_t* size);
  // The next read() has something to say without any input.
  bool has_pending() const { return ended_ || SSL_pending(ssl_.get()) > 0; }

  // Makes records of `plaintext`: out() grows. False: broken.
  bool write(std::string_view plaintext);
  // Says that nothing more will be written.
  void end_writing();

  // Ciphertext to be sent.
  std::string& out() { return out_; }

  // Why a step or a read failed.
  const std::string& why() const { return why_; }
  std::string server_name() const;
  std::shared_ptr<const TlsIdentity> identity() { return verified_identity(ssl_.get()); }
  SSL* ssl() { return ssl_.get(); }

 private:
  struct Bio;
  struct Free {
    void operator()(SSL* ssl) const { SSL_free(ssl); }
  };
  void explain();

  void join_bio();

  const std::shared_ptr<const void> state_;  // which ssl_ needs
  std::string why_;
  std::string_view input_;
  std::string out_;
  bool ended_ = false;  // read() has seen the end, or a fault, and is to tell
  std::unique_ptr<SSL, Free> ssl_;
};

}  // namespace keelson::net
