#include "net/connection.h"

#include <algorithm>

#include "base/check.h"
#include "net/client_number.h"
#include "net/http1_session.h"
#include "net/http2_session.h"
#include "net/tls/identity.h"
#include "net/tls/transport.h"

namespace keelson::net {
namespace {

// With which a client of TLS begins. It would not understand an answer, and etcd gives none.
constexpr char kTlsHandshake = 0x16;
constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
// How long a client may take to notice that we have ended.
constexpr Duration kLinger = std::chrono::seconds(1);

// How long a client may leave what is there for it, with no handler at work: while we end, or when
// it has done something that ends the connection.
constexpr Duration kDrainStall = std::chrono::seconds(1);

// How often one connection may fill its output in one batch.
constexpr int kRounds = 4;

std::unique_ptr<Transport> make_transport(const ServerContext& server, Loop* loop, int fd,
                                          const std::string& remote, TransportEvents* events) {
  const std::shared_ptr<const ListenerTls>& tls = server.options.tls;
  if (!tls) return make_socket_transport(&loop->impl(), fd, events);
  return make_tls_transport(tls.get(), loop, fd, remote, events);
}

}  // namespace

Connection::Connection(std::shared_ptr<const ServerContext> server, Loop* loop, int fd,
                       PeerInfo peer, std::function<void(Connection*)> on_closed)
    : server_(std::move(server)),
      loop_(*loop),
      peer_(std::move(peer)),
      on_closed_(std::move(on_closed)),
      incoming_(server_->options.budgets->incoming, loop, server_->options.connection_incoming,
                this),
      outgoing_(server_->options.budgets->outgoing, loop, server_->options.connection_outgoing,
                this),
      transport_(make_transport(*server_, loop, fd, peer_.address, this)) {
  const auto number = reinterpret_cast<uintptr_t>(this);
  peer_.connection = connection_number(number);
  if (peer_.client == 0) peer_.client = client_of_connection(number);
}

Connection::~Connection() { outgoing_.change(told_output_, 0); }

void Connection::start() {
  self_ = shared_from_this();
  loop_.impl().timers().arm(this, loop_.now() + server_->options.read_header_timeout);
  read_more();
}

void Connection::read_more() {
  if (reading_ || closed_ || (ending_ && !lingering_)) return;
  if (input_over_ && !lingering_) return;  // it would end at once, again and again
  if (protocol_ && !lingering_ && protocol_->input_full()) return;
  reading_ = true;
  transport_->read(loop_.impl().read_buffer(), self_);
}

void Connection::on_read(size_t bytes) {
  reading_ = false;
  auto keep = self_;
  if (bytes == 0) {
    if (!protocol_ || lingering_) return close();
    input_over_ = true;
    protocol_->input_ended();
    wake();
    return;
  }
  std::string_view data(loop_.impl().read_buffer().data(), bytes);
  if (lingering_) {
    // Read, and thrown away.
  } else if (!protocol_) {
    sniff(data);
  } else if (!protocol_->receive(data)) {
    ending_ = true;
  }
  // The next read belongs to the next turn, so flush() begins it: a client that always has more to
  // say would keep the loop here.
  wake();
}

// HTTP/2 begins with a fixed preface that no HTTP/1 request line can begin with.
void Connection::sniff(std::string_view bytes) {
  first_bytes_.append(bytes);
  if (first_bytes_.front() == kTlsHandshake) return close();
  size_t n = std::min(first_bytes_.size(), kPreface.size());
  bool may_be_http2 = std::string_view(first_bytes_).substr(0, n) == kPreface.substr(0, n);
  if (may_be_http2 && n < kPreface.size()) return;
  Timer::cancel();
  ProtocolHost* host = this;
  if (may_be_http2) {
    protocol_ = std::make_unique<Http2Session>(server_.get(), host);
  } else {
    protocol_ = std::make_unique<Http1Session>(server_.get(), host);
  }
  std::string bytes_so_far = std::exchange(first_bytes_, {});
  if (!protocol_->receive(bytes_so_far)) ending_ = true;
}

void Connection::flush() {
  auto keep = self_;
  if (closed_) return self_.reset();
  if (lingering_ || !protocol_) return read_more();
  for (int round = 0; round < kRounds; ++round) {
    if (!protocol_->produce(out_, kOutputLimit)) ending_ = true;
    const bool written = write_out();
    count_output();
    if (!written) {
      wait_to_write();
      return read_more();
    }
    if (!ending_ && next_ && protocol_->finished()) {
      become_next();
      continue;
    }
    if (ending_ || protocol_->finished()) return linger();
    if (last_write_ < kOutputLimit) return read_more();
  }
  // A fast client and a long answer: the loop's other connections come first.
  wake();
  read_more();
}

void Connection::hand_over(ProtocolFactory make, std::string unread) {
  CHECK(!next_);
  next_ = std::move(make);
  unread_ = std::move(unread);
  wake();
}

void Connection::become_next() {
  protocol_->closed();
  protocol_ = std::exchange(next_, nullptr)(this);
  CHECK(protocol_);
  if (drain_asked_) protocol_->drain();
  std::string unread = std::exchange(unread_, {});
  if (!unread.empty() && !protocol_->receive(unread)) ending_ = true;
}

void Connection::wait_to_write() {
  if (!leaving() || Timer::armed()) return;
  moved();
  loop_.impl().timers().arm(this, loop_.now() + patience());
}

// All that we will say is in out_: who does not read it is not waited for.
bool Connection::leaving() const {
  return ending_ || (!next_ && protocol_ && protocol_->finished());
}

// A long answer has any time, but not much of it without a byte that moves.
Duration Connection::patience() const {
  return ending_ || drain_asked_ ? kDrainStall : server_->options.body_stall_timeout;
}

bool Connection::moved() {
  const size_t unsent = transport_->unsent();
  const bool sent = std::exchange(unsent_seen_, unsent) > unsent;
  return std::exchange(moved_, false) || sent;
}

// True when everything is written.
bool Connection::write_out() {
  last_write_ = 0;
  while (!out_.empty()) {
    if (blocked_) return false;
    iovec pieces[64];
    size_t count = out_.gather(pieces);
    size_t offered = 0;
    for (size_t i = 0; i < count; ++i) offered += pieces[i].iov_len;
    size_t written = transport_->write({pieces, count}, self_);
    out_.consume(written);
    last_write_ += written;
    output_pace_.move(written, loop_.now());
    if (written > 0) moved_ = true;
    if (written < offered) {
      blocked_ = true;
      return false;
    }
  }
  blocked_ = transport_->unsent() > 0;
  return !blocked_;
}

// What has been written at once was never held.
void Connection::count_output() {
  const size_t now = unsent();
  if (now == told_output_) return;
  if (told_output_ == 0) output_pace_.begin(loop_.now());
  outgoing_.change(std::exchange(told_output_, now), now);
}

void Connection::each_held(HeldSort sort, absl::FunctionRef<void(const HeldItem&)> visit) const {
  if (protocol_) protocol_->each_held(sort, visit);
  if (sort == HeldSort::kOutgoing && told_output_ > 0) {
    visit({HeldItem::kConnection, told_output_, output_pace_.since});
  }
}

// A client that does not even take what the socket has for it hears of nothing else either.
void Connection::give_up(HeldSort sort, int64_t id) {
  if (closed_) return;
  if (id == HeldItem::kConnection || unsent() > 0) return close();
  protocol_->give_up(sort, id);
}

void Connection::on_secured(std::shared_ptr<const TlsIdentity> identity) {
  peer_.tls = true;
  peer_.identity = std::move(identity);
  if (peer_.identity && !peer_.identity->common_name.empty()) {
    peer_.client = client_of_certificate(peer_.identity->common_name);
  }
}

void Connection::on_writable() {
  blocked_ = false;
  wake();
}

// Closing a socket with unread input resets it, and the reset can overtake our last words. So we
// say that we have ended and read on until the client has seen it.
void Connection::linger() {
  lingering_ = true;
  protocol_->closed();
  transport_->shutdown_write();
  loop_.impl().timers().arm(this, loop_.now() + kLinger);
  read_more();
}

void Connection::on_timer() {
  const bool served = leaving() || (drain_asked_ && protocol_);
  if (lingering_ || !served) return close();
  if (!moved() && (leaving() || !protocol_->working())) return close();
  loop_.impl().timers().arm(this, loop_.now() + patience());
}

void Connection::drain() {
  if (closed_ || lingering_) return;
  drain_asked_ = true;
  if (!protocol_) return close();
  protocol_->drain();
  moved_ = true;  // what the first second costs, nobody is to blame for
  loop_.impl().timers().arm(this, loop_.now() + kDrainStall);
  wake();
}

void Connection::close() {
  if (closed_) return;
  closed_ = true;
  Timer::cancel();
  transport_->close();
  if (protocol_) protocol_->closed();
  outgoing_.change(std::exchange(told_output_, 0), 0);
  on_closed_(this);
  // We may be in the list of those to flush already; letting go of ourselves is left to flush().
  loop_.impl().flush_later(this);
}

}  // namespace keelson::net
