#include "net/client_connection.h"

#include <utility>

#include "base/check.h"
#include "base/text.h"
#include "net/tls/client_transport.h"

namespace keelson::net {
namespace {

constexpr size_t kOutputAtOnce = 256 << 10;
constexpr int kRounds = 4;  // how often the output may be filled in one batch

std::unique_ptr<Transport> make_transport(Loop* loop, int fd, const HttpPlace& place,
                                          const HttpClientOptions& options,
                                          TransportEvents* events) {
  if (!place.tls) return make_socket_transport(&loop->impl(), fd, events);
  return make_tls_client_transport(
      {options.tls, options.handshakes, place.is_unix() ? "localhost" : place.host}, loop, fd,
      events);
}

}  // namespace

ClientConnection::ClientConnection(Loop* loop, int fd, const HttpPlace& place,
                                   const HttpClientOptions& options, ClientConnectionOwner* owner)
    : loop_(*loop),
      place_(place),
      owner_(owner),
      transport_(make_transport(loop, fd, place, options, this)) {}

ClientConnection::~ClientConnection() = default;

void ClientConnection::start(Duration handshake_time) {
  self_ = shared_from_this();
  secured_ = !place_.tls;
  if (secured_) return now_free();
  loop_.impl().timers().arm(this, loop_.now() + handshake_time);
  read_more();  // which begins the handshake
}

void ClientConnection::on_secured(std::shared_ptr<const TlsIdentity>) {
  Timer::cancel();
  secured_ = true;
  now_free();
}

void ClientConnection::now_free() {
  const bool first = !std::exchange(stood_, true);
  owner_->connection_free(this, first);
}

void ClientConnection::carry(std::shared_ptr<ClientExchange> exchange) {
  CHECK(!closed_);
  CHECK(!exchange_);
  Timer::cancel();
  exchange_ = std::move(exchange);
  exchange_->go_out_on(this);
}

void ClientConnection::keep_for(Duration time) {
  CHECK(!exchange_);
  loop_.impl().timers().arm(this, loop_.now() + time);
  exchange_ready();  // reads, to hear when the server closes
}

void ClientConnection::on_timer() {
  close(absl::DeadlineExceededError(secured_ ? "idle" : "net/http: TLS handshake timeout"));
}

void ClientConnection::exchange_over(ClientExchange* exchange, bool reusable) {
  CHECK(exchange == exchange_.get());
  exchange_.reset();
  used_ = true;
  if (closed_) return;
  if (!reusable || !out_.empty()) return close(absl::CancelledError("the connection is used up"));
  // From a task of its own: who hears of the exchange's end comes first, and may begin another.
  loop_.post([self = shared_from_this()] {
    if (!self->closed_ && !self->exchange_) self->now_free();
  });
}

void ClientConnection::read_more() {
  if (reading_ || closed_) return;
  if (exchange_ && !exchange_->reads()) return;
  reading_ = true;
  transport_->read(loop_.impl().read_buffer(), self_);
}

void ClientConnection::on_read(size_t bytes) {
  reading_ = false;
  auto keep = self_;
  if (closed_) return;
  if (bytes == 0) {
    if (exchange_ && !(used_ && exchange_->may_go_again())) {
      exchange_->input_ended();
      if (exchange_) return;  // paused: what is there is still to be told
    }
    return close(absl::UnavailableError("EOF"));
  }
  // What a server says unasked (a 408 before it closes) belongs to no request.
  if (!exchange_) return close(absl::UnavailableError("Unsolicited response received"));
  exchange_->receive({loop_.impl().read_buffer().data(), bytes});
  exchange_ready();  // the next read belongs to the next turn
}

void ClientConnection::on_writable() {
  blocked_ = false;
  if (exchange_) exchange_->sent();
  exchange_ready();
}

void ClientConnection::on_error() {
  std::string why = transport_->why();
  if (why.empty()) why = "EOF";
  close(absl::UnavailableError(why));
}

void ClientConnection::flush() {
  auto keep = self_;
  if (closed_) return self_.reset();
  if (!secured_) return;
  for (int round = 0; round < kRounds && !blocked_; ++round) {
    if (exchange_) exchange_->produce(out_, kOutputAtOnce);
    if (out_.empty()) break;
    const bool all = write_out();
    if (exchange_) exchange_->sent();
    if (closed_ || !all) break;
    if (round + 1 == kRounds) exchange_ready();
  }
  read_more();
}

// True when everything is written.
bool ClientConnection::write_out() {
  while (!out_.empty() && !blocked_) {
    iovec pieces[64];
    const size_t count = out_.gather(pieces);
    size_t offered = 0;
    for (size_t i = 0; i < count; ++i) offered += pieces[i].iov_len;
    const size_t written = transport_->write({pieces, count}, self_);
    out_.consume(written);
    blocked_ = written < offered || transport_->unsent() > 0;
  }
  return !blocked_;
}

void ClientConnection::drop() {
  owner_ = nullptr;
  if (std::shared_ptr<ClientExchange> exchange = exchange_) exchange->cancel();
  close(absl::CancelledError());
}

void ClientConnection::close(absl::Status why) {
  if (closed_) return;
  closed_ = true;
  Timer::cancel();
  transport_->close();
  // Letting go of ourselves is left to flush(), in whose list we may be already.
  loop_.impl().flush_later(this);
  std::shared_ptr<ClientExchange> again;
  if (exchange_ && used_ && exchange_->may_go_again()) {
    again = std::exchange(exchange_, nullptr);
  } else if (exchange_) {
    auto failed = exchange_;  // exchange_over() lets go of it
    failed->fail(why);
  }
  if (owner_) {
    std::exchange(owner_, nullptr)->connection_closed(this, std::move(why), std::move(again));
  }
}

}  // namespace keelson::net
