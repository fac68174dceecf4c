#include "net/tls/transport.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "absl/strings/str_join.h"
#include "base/check.h"
#include "base/log.h"
#include "base/text.h"
#include "net/pools.h"
#include "net/resolver.h"
#include "net/tls/client_transport.h"
#include "net/tls/hello_again.h"
#include "net/tls/session.h"

namespace keelson::net {
namespace {

// etcd's, since 3.6.14.
constexpr Duration kHandshakeTime = std::chrono::seconds(10);
// How long a client that was refused may take to read why.
constexpr Duration kLinger = std::chrono::seconds(1);
// Plaintext that becomes one send.
constexpr size_t kBatch = 128 << 10;
constexpr size_t kFirstRead = 4 << 10;
constexpr char kHandshakeRecord = 0x16;

// The record that a hello may be in, and what some clients say before the second one.
constexpr size_t kRecordHead = 5;
constexpr std::string_view kChangeCipherSpec("\x14\x03\x03\x00\x01\x01", 6);
constexpr size_t kLargestHello = kChangeCipherSpec.size() + kRecordHead + TlsSession::kRecord;

// Where the first record of `bytes` ends that may hold a hello; of its head when that is not whole.
size_t end_of_record(std::string_view bytes) {
  size_t at = bytes.starts_with(kChangeCipherSpec) ? kChangeCipherSpec.size() : 0;
  if (bytes.size() < at + kRecordHead) return at + kRecordHead;
  const auto byte = [&](size_t i) { return size_t{static_cast<unsigned char>(bytes[at + i])}; };
  return at + kRecordHead + byte(3) * 256 + byte(4);
}

// Of "host:port" and "[host]:port". Empty: it is no such address.
std::string host_of(std::string_view remote) {
  const size_t colon = remote.rfind(':');
  if (colon == std::string_view::npos) return "";
  std::string_view host = remote.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  return std::string(host);
}

// What a connection has sent is given back for the next one of this thread.
thread_local std::string spare_out;

class TlsTransport final : public Transport,
                           private TransportEvents,
                           private Timer,
                           private HandshakeStep {
 public:
  // One of the two is not null.
  TlsTransport(const ListenerTls* server, std::unique_ptr<const TlsClientEnd> client, Loop* loop,
               int fd, std::string remote, TransportEvents* events)
      : server_(server),
        client_(std::move(client)),
        handshakes_(*(server ? server->handshakes : client_->handshakes)),
        loop_(*loop),
        remote_(std::move(remote)),
        events_(events),
        inner_(make_socket_transport(&loop->impl(), fd, this)) {}

  void read(std::span<char> buffer, std::shared_ptr<void> keep) override;
  size_t write(std::span<const iovec> pieces, std::shared_ptr<void> keep) override;
  size_t unsent() const override { return sending_.size() - sent_; }
  void shutdown_write() override;
  void close() override;
  std::string why() const override { return why_; }

 private:
  // kNew: until the first hello is there. kAsked: the client is to say it again. kChecking: the
  // handshake is complete, and it is asked who the client is.
  enum class State { kNew, kAsked, kHandshake, kChecking, kOpen, kPlain, kRefused };
  using Newcomer = TlsHandshakes::Newcomer;
  using Keep = std::shared_ptr<void>;

  // From the socket.
  void on_read(size_t bytes) override;
  void on_writable() override;
  void on_error() override {
    std::string why = inner_->why();
    fail(why.empty() || server_ ? "EOF" : why);
  }
  void on_gone(bool broken) override;
  void on_timer() override;

  void run_step(bool ask) override;
  void put_out() override;
  TlsSession::Step do_step(bool ask);

  void read_socket();
  void first_bytes();
  void hello_bytes();
  void begin(Newcomer newcomer);
  void resume();
  void step_done(TlsSession::Step step);
  void wait_for_hello();
  void check_client();
  void opened();
  void deliver();
  void keep_input();
  void fail(std::string_view why);
  void refuse(std::string_view why);
  void log_failure(std::string_view why);
  void leave_pool();
  bool send();
  struct Cursor {
    size_t piece = 0;
    size_t offset = 0;  // in it
  };
  size_t encrypt(std::span<const iovec> pieces, Cursor* at);

  const ListenerTls* const server_;
  const std::unique_ptr<const TlsClientEnd> client_;
  TlsHandshakes& handshakes_;
  Loop& loop_;
  const std::string remote_;
  TransportEvents* const events_;
  const std::unique_ptr<Transport> inner_;
  std::weak_ptr<void> owner_;  // of us; what operations under way hold on to

  State state_ = State::kNew;
  bool closed_ = false;
  bool heard_ = false;     // the peer has heard from us since it said hello
  bool stepping_ = false;  // a worker has the session, or will; nobody else touches it
  Keep step_keep_;         // set exactly while stepping_
  std::optional<TlsSession> session_;
  std::string asked_;  // the cookie of who was asked to say hello again
  std::string raw_;    // until it is open what the socket's reads fill, then what waits to be read
  size_t filled_ = 0;  // of it, by a hello; <= raw_.size()
  std::span<char> buffer_;         // of the read() under way
  bool reading_ = false;           // the socket's read is under way
  bool read_later_ = false;        // once what waits to be sent has gone
  bool waiting_to_write_ = false;  // the socket is full
  bool broken_ = false;            // OpenSSL refuses to go on
  bool ending_ = false;            // shutdown_write() was called
  std::string why_;                // what broke it
  std::string sending_;            // ciphertext; what is before sent_ has gone
  size_t sent_ = 0;                // <= sending_.size()
};

void TlsTransport::read(std::span<char> buffer, Keep keep) {
  owner_ = keep;
  buffer_ = buffer;
  switch (state_) {
    case State::kPlain:
      return inner_->read(buffer, std::move(keep));
    case State::kNew:
      if (client_) {
        return begin(Newcomer::kProven);
      }
      loop_.impl().timers().arm(this, loop_.now() + kHandshakeTime);
      raw_.resize(kFirstRead);
      return read_socket();
    case State::kOpen:
      // What is there already needs no socket; but never from inside the caller.
      if (session_->input_left() > 0 || session_->has_pending()) {
        return loop_.post([this, keep = std::move(keep)] {
          if (!closed_) deliver();
        });
      }
      return read_socket();
    case State::kAsked:
    case State::kHandshake:
    case State::kChecking:
    case State::kRefused:
      return;  // read as the state needs it
  }
}

void TlsTransport::read_socket() {
  if (reading_ || closed_) return;
  if (unsent() > 0 && state_ == State::kOpen) {
    // A client that makes us answer (key updates) and reads nothing waits for itself.
    read_later_ = true;
    return;
  }
  Keep keep = owner_.lock();
  if (!keep) return;
  reading_ = true;
  if (state_ == State::kOpen) return inner_->read(loop_.impl().cipher_buffer(), std::move(keep));
  CHECK(filled_ < raw_.size());
  inner_->read({raw_.data() + filled_, raw_.size() - filled_}, std::move(keep));
}

void TlsTransport::on_read(size_t bytes) {
  reading_ = false;
  switch (state_) {
    case State::kPlain:
      return events_->on_read(bytes);
    case State::kNew:
    case State::kAsked:
      if (bytes == 0) return fail("EOF");
      filled_ += bytes;
      return state_ == State::kNew ? first_bytes() : hello_bytes();
    case State::kHandshake:
      if (bytes == 0) return fail("EOF");
      session_->set_input({raw_.data(), bytes});
      return resume();
    case State::kOpen:
      // An end without close_notify is an end: HTTP tells itself whether something is missing.
      if (bytes == 0) return events_->on_read(0);
      session_->set_input({loop_.impl().cipher_buffer().data(), bytes});
      return deliver();
    case State::kChecking:
      return;  // nothing is read meanwhile
    case State::kRefused:
      return bytes == 0 ? events_->on_error() : read_socket();
  }
}

void TlsTransport::first_bytes() {
  const bool is_tls = raw_[0] == kHandshakeRecord;
  // What Go's library calls it; etcd hangs up.
  if (!is_tls && !server_->plaintext_too) {
    return fail("tls: first record does not look like a TLS handshake");
  }
  if (is_tls) return hello_bytes();
  Timer::cancel();
  state_ = State::kPlain;
  const std::string bytes = std::exchange(raw_, {});
  const size_t count = std::exchange(filled_, 0);
  CHECK(count <= buffer_.size());
  std::memcpy(buffer_.data(), bytes.data(), count);
  events_->on_read(count);
}

// A handshake begins when the hello's record is whole: half of one has no place and no turn.
void TlsTransport::hello_bytes() {
  const size_t wanted = end_of_record({raw_.data(), filled_});
  if (wanted > kLargestHello) return fail("tls: oversized record received");
  if (filled_ >= wanted) return begin(asked_.empty() ? Newcomer::kUnknown : Newcomer::kProven);
  if (raw_.size() < wanted) raw_.resize(wanted);
  read_socket();
}

// ---- the handshake

void TlsTransport::begin(Newcomer newcomer) {
  state_ = State::kHandshake;
  raw_.resize(filled_);
  stepping_ = true;
  step_keep_ = owner_.lock();
  CHECK(step_keep_ != nullptr);
  handshakes_.begin(this, TlsHandshakes::source_of(remote_), newcomer);
}

void TlsTransport::resume() {
  stepping_ = true;
  step_keep_ = owner_.lock();
  CHECK(step_keep_ != nullptr);
  handshakes_.resume(this, heard_);
}

// Nobody completes a handshake without hearing from us and answering, so whoever has said its last
// before is dead, and must not wait for its turn.
void TlsTransport::on_gone(bool broken) {
  switch (state_) {
    case State::kPlain:
    case State::kOpen:
      return events_->on_gone(broken);
    case State::kHandshake:
      if (server_ && (broken || !heard_)) fail("EOF");
      return;
    case State::kNew:
    case State::kAsked:
    case State::kRefused:
      return;  // a read is under way
    case State::kChecking:
      return;  // it will be found when it is read
  }
}

TlsSession::Step TlsTransport::do_step(bool ask) {
  if (session_) return session_->handshake();
  if (client_) {
    session_.emplace(client_->context->current(), client_->host);
    return session_->handshake();
  }
  // Who is only asked is not worth a look at the files. When they have changed by the second hello,
  // its cookie is of no use: the client has to come again.
  session_.emplace(ask ? server_->context->last() : server_->context->current());
  std::string_view hello = raw_;
  if (!asked_.empty() && hello.starts_with(kChangeCipherSpec)) {
    hello.remove_prefix(kChangeCipherSpec.size());
  }
  session_->set_input(hello);
  if (!asked_.empty()) return session_->handshake_again(&asked_);
  if (!ask) return session_->handshake();
  asked_ = make_hello_cookie();
  return session_->ask_again(&asked_);
}

void TlsTransport::run_step(bool ask) {
  const TlsSession::Step step = do_step(ask);
  // Held by the task from here on: a stopped loop drops it with its inbox.
  loop_.post([this, step, keep = std::move(step_keep_)] { step_done(step); });
}

void TlsTransport::step_done(TlsSession::Step step) {
  stepping_ = false;
  if (closed_) return;  // and close() has told the pool, which may be gone by now
  if (!session_->out().empty()) heard_ = true;
  sending_.append(std::exchange(session_->out(), {}));
  switch (step) {
    case TlsSession::Step::kFailed:
      leave_pool();
      return refuse(session_->why());
    case TlsSession::Step::kNeedInput:
      handshakes_.stall(this);
      filled_ = 0;
      if (!send()) return;
      raw_.resize(kFirstRead);
      return read_socket();
    case TlsSession::Step::kDone:
      leave_pool();
      filled_ = 0;
      return check_client();
    case TlsSession::Step::kCannotAsk:
      leave_pool();
      session_.reset();
      asked_.clear();
      return begin(Newcomer::kUnproven);
    case TlsSession::Step::kAsked:
      leave_pool();
      return wait_for_hello();
  }
}

void TlsTransport::wait_for_hello() {
  raw_.erase(0, raw_.size() - session_->input_left());
  filled_ = raw_.size();
  session_.reset();
  state_ = State::kAsked;
  heard_ = false;
  raw_.resize(std::max(kFirstRead, filled_ + 1));
  if (send()) hello_bytes();
}

// Whether the client comes from where its certificate says that it is.
void TlsTransport::check_client() {
  const std::shared_ptr<const TlsIdentity> identity = session_->identity();
  const std::string host = host_of(remote_);
  if (client_ || !server_->client_names || !identity || host.empty()) return opened();
  const auto& addresses = identity->ip_addresses;
  const auto& names = identity->dns_names;
  if (addresses.empty() && names.empty()) return opened();
  if (std::find(addresses.begin(), addresses.end(), host) != addresses.end()) return opened();
  if (names.empty()) {
    return refuse(
        cat("x509: certificate is valid for ", absl::StrJoin(addresses, ", "), ", not ", host));
  }
  state_ = State::kChecking;
  server_->client_names->find_name(host, names, &loop_,
                                   [this, keep = owner_.lock()](const absl::Status& named) {
                                     if (closed_ || state_ != State::kChecking) return;
                                     named.ok() ? opened() : refuse(message_of(named));
                                   });
}

void TlsTransport::opened() {
  Timer::cancel();
  state_ = State::kOpen;
  events_->on_secured(session_->identity());
  if (!send()) {
    read_later_ = true;
    return;
  }
  deliver();
}

void TlsTransport::leave_pool() {
  if (state_ != State::kHandshake) return;
  if (handshakes_.end(this)) {
    stepping_ = false;
    step_keep_.reset();
  }
}

// Under the pool's lock, on any thread.
void TlsTransport::put_out() {
  Keep keep = owner_.lock();
  if (!keep) return;
  loop_.post([this, keep = std::move(keep)] {
    if (!closed_ && state_ == State::kHandshake) fail("too many handshakes are under way");
  });
}

void TlsTransport::on_timer() {
  if (state_ == State::kRefused) return events_->on_error();
  fail("i/o timeout");
}

void TlsTransport::log_failure(std::string_view why) {
  if (client_) return;  // who connects is told, and says what becomes of it
  const bool usual = why == "EOF";
  uint64_t unsaid = 0;
  if (!usual && !handshakes_.may_log(&unsaid)) return;
  const bool known = !stepping_ && session_;
  log::write(usual ? log::Level::kDebug : log::Level::kWarn, server_->rejected,
             {{"remote-addr", remote_},
              {"server-name", known ? session_->server_name() : ""},
              {"error", why},
              {"not-logged", unsaid}});
}

// Broken: nothing more is said.
void TlsTransport::fail(std::string_view why) {
  Timer::cancel();
  why_ = why;
  if (state_ != State::kOpen && state_ != State::kPlain && state_ != State::kRefused) {
    log_failure(why);
  }
  events_->on_error();
}

// The client hears why: closing a socket with unread bytes would reset it, and the reset overtake
// the alert.
void TlsTransport::refuse(std::string_view why) {
  if (client_) {
    why_ = why;
    send();  // the alert, as far as it goes
    return events_->on_error();
  }
  log_failure(why);
  state_ = State::kRefused;
  ending_ = true;
  loop_.impl().timers().arm(this, loop_.now() + kLinger);
  if (send()) inner_->shutdown_write();
  filled_ = 0;
  raw_.resize(kFirstRead);
  read_socket();
}

// ---- afterwards

void TlsTransport::deliver() {
  size_t bytes = 0;
  const TlsSession::Read result = session_->read(buffer_, &bytes);
  keep_input();
  if (!session_->out().empty()) {
    sending_.append(std::exchange(session_->out(), {}));
    send();
  }
  switch (result) {
    case TlsSession::Read::kBytes:
      return events_->on_read(bytes);
    case TlsSession::Read::kEnd:
      return events_->on_read(0);
    case TlsSession::Read::kNeedInput:
      return read_socket();
    case TlsSession::Read::kFailed:
      why_ = session_->why();
      if (server_) {
        log::debug("a client's TLS is broken",
                   {{"remote-addr", remote_}, {"error", session_->why()}});
      }
      return events_->on_error();
  }
}

// What the caller's buffer has no room for stays here; mostly nothing does.
void TlsTransport::keep_input() {
  if (session_->input_left() == 0) {
    std::string().swap(raw_);
  } else if (raw_.empty()) {
    raw_ = session_->input();
    session_->move_input(raw_);
  }
}

// Makes records of a batch, full ones as far as there is enough: small pieces are put together
// first. `at` is where in the pieces it begins; returns how much it took.
size_t TlsTransport::encrypt(std::span<const iovec> pieces, Cursor* at) {
  char record[TlsSession::kRecord];
  size_t filled = 0;
  size_t taken = 0;
  while (at->piece < pieces.size() && taken < kBatch && !broken_) {
    const iovec& piece = pieces[at->piece];
    std::string_view bytes(static_cast<const char*>(piece.iov_base), piece.iov_len);
    bytes.remove_prefix(at->offset);
    const size_t n = std::min(bytes.size(), sizeof(record) - filled);
    if (n == sizeof(record)) {
      broken_ = !session_->write(bytes.substr(0, n));
    } else {
      std::memcpy(record + filled, bytes.data(), n);
      filled += n;
      if (filled == sizeof(record)) broken_ = !session_->write({record, std::exchange(filled, 0)});
    }
    taken += n;
    at->offset += n;
    if (at->offset == piece.iov_len) *at = {at->piece + 1, 0};
  }
  if (filled > 0 && !broken_) broken_ = !session_->write({record, filled});
  return taken;
}

size_t TlsTransport::write(std::span<const iovec> pieces, Keep keep) {
  if (state_ == State::kPlain) return inner_->write(pieces, std::move(keep));
  CHECK(state_ == State::kOpen);
  CHECK(!ending_);
  size_t total = 0;
  Cursor at;
  while (unsent() == 0 && at.piece < pieces.size() && !broken_) {
    std::string& out = session_->out();
    if (out.capacity() < spare_out.capacity()) out.swap(spare_out);
    out.clear();
    total += encrypt(pieces, &at);
    sending_.swap(out);
    sent_ = 0;
    if (!send()) break;
  }
  if (broken_) {
    loop_.post([this, keep = std::move(keep)] {
      if (!closed_) events_->on_error();
    });
  }
  return total;
}

// True when everything has gone; otherwise on_writable() goes on.
bool TlsTransport::send() {
  if (waiting_to_write_) return false;
  if (unsent() > 0) {
    const iovec piece{sending_.data() + sent_, unsent()};
    sent_ += inner_->write({&piece, 1}, owner_.lock());
    CHECK(sent_ <= sending_.size());
  }
  if (unsent() > 0) {
    waiting_to_write_ = true;
    return false;
  }
  sending_.clear();
  sent_ = 0;
  if (pools_keep() && sending_.capacity() > spare_out.capacity()) std::swap(spare_out, sending_);
  sending_.shrink_to_fit();
  return true;
}

void TlsTransport::on_writable() {
  waiting_to_write_ = false;
  if (state_ == State::kPlain) return events_->on_writable();
  if (!send()) return;
  if (ending_) inner_->shutdown_write();
  if (state_ == State::kAsked) return hello_bytes();
  if (state_ == State::kHandshake) {
    raw_.resize(kFirstRead);
    return read_socket();
  }
  if (state_ != State::kOpen) return;
  events_->on_writable();
  // From what is there already, or else from the socket.
  if (!closed_ && std::exchange(read_later_, false)) deliver();
}

void TlsTransport::shutdown_write() {
  if (state_ == State::kPlain) return inner_->shutdown_write();
  if (std::exchange(ending_, true) || state_ != State::kOpen) return;
  session_->end_writing();
  sending_.append(std::exchange(session_->out(), {}));
  if (send()) inner_->shutdown_write();
}

void TlsTransport::close() {
  if (std::exchange(closed_, true)) return;
  Timer::cancel();
  leave_pool();
  inner_->close();
}

}  // namespace

std::unique_ptr<Transport> make_tls_transport(const ListenerTls* tls, Loop* loop, int fd,
                                              std::string remote, TransportEvents* events) {
  return std::make_unique<TlsTransport>(tls, nullptr, loop, fd, std::move(remote), events);
}

std::unique_ptr<Transport> make_tls_client_transport(TlsClientEnd end, Loop* loop, int fd,
                                                     TransportEvents* events) {
  return std::make_unique<TlsTransport>(
      nullptr, std::make_unique<const TlsClientEnd>(std::move(end)), loop, fd, "", events);
}

}  // namespace keelson::net
