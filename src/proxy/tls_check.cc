#include "proxy/tls_check.h"

#include <future>
#include <memory>
#include <utility>

#include "base/text.h"
#include "net/dial.h"
#include "net/loop_impl.h"
#include "net/resolver.h"
#include "net/tls/client_context.h"
#include "net/tls/client_transport.h"

namespace keelson::proxy {
namespace {

// For the connection, and again for the handshake.
constexpr Duration kTime = std::chrono::seconds(5);

// One server's. Lives until its verdict is given, on the loop.
class Check final : public std::enable_shared_from_this<Check>,
                    private net::TransportEvents,
                    private net::Timer {
 public:
  Check(net::Loop* loop, net::TlsClientEnd end) : loop_(*loop), end_(std::move(end)) {}

  std::future<absl::Status> verdict() { return verdict_.get_future(); }
  void start(net::Resolver* resolver, const Endpoint& endpoint) {
    self_ = shared_from_this();
    dial_ = net::Dial::start_tcp(&loop_, resolver, endpoint.host, cat(endpoint.port), kTime,
                                 std::nullopt,
                                 [this](absl::StatusOr<int> fd) { connected(std::move(fd)); });
  }

 private:
  void connected(absl::StatusOr<int> fd) {
    if (!fd.ok()) return give(fd.status());
    loop_.impl().timers().arm(this, loop_.now() + kTime);
    transport_ = net::make_tls_client_transport(end_, &loop_, *fd, this);
    transport_->read(loop_.impl().read_buffer(), self_);
  }
  void on_secured(std::shared_ptr<const net::TlsIdentity>) override { give(absl::OkStatus()); }
  // What it says behind its handshake, such as that it wants a certificate of ours, is its affair.
  void on_read(size_t) override { give(absl::UnavailableError("EOF")); }
  void on_writable() override {}
  void on_error() override {
    const std::string why = transport_->why();
    give(absl::UnavailableError(why.empty() ? "EOF" : why));
  }
  void on_timer() override { give(absl::DeadlineExceededError("net/http: TLS handshake timeout")); }

  void give(absl::Status verdict) {
    if (!self_) return;
    std::shared_ptr<Check> keep = std::move(self_);
    Timer::cancel();
    if (transport_) transport_->close();
    verdict_.set_value(std::move(verdict));
    // What calls us may be the transport, which we are about to destroy.
    loop_.post([keep = std::move(keep)] {});
  }

  net::Loop& loop_;
  const net::TlsClientEnd end_;
  std::shared_ptr<Check> self_;  // until the verdict is given
  std::shared_ptr<net::Dial> dial_;
  std::unique_ptr<net::Transport> transport_;
  std::promise<absl::Status> verdict_;
};

}  // namespace

absl::StatusOr<std::vector<absl::Status>> check_tls(const std::vector<Endpoint>& endpoints,
                                                    const std::string& name,
                                                    const std::string& trusted_ca_file) {
  auto context = net::TlsClientContext::create({.trusted_ca_file = trusted_ca_file});
  if (!context.ok()) return absl::InvalidArgumentError(context.status().message());
  net::TlsHandshakes handshakes(1);
  net::Resolver resolver;
  net::Loop loop("tls-check");
  std::vector<std::future<absl::Status>> verdicts;
  for (const Endpoint& endpoint : endpoints) {
    auto check = std::make_shared<Check>(&loop, net::TlsClientEnd{*context, &handshakes, name});
    verdicts.push_back(check->verdict());
    loop.post([check, &resolver, endpoint] { check->start(&resolver, endpoint); });
  }
  std::vector<absl::Status> results;
  for (std::future<absl::Status>& verdict : verdicts) results.push_back(verdict.get());
  resolver.stop();
  loop.stop();
  return results;
}

}  // namespace keelson::proxy
