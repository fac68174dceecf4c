#include "net/http_client.h"

#include <algorithm>
#include <deque>
#include <map>
#include <set>
#include <utility>

#include "base/check.h"
#include "base/text.h"
#include "net/client_connection.h"
#include "net/client_exchange.h"
#include "net/dial.h"

namespace keelson::net {

// ---- HttpPlace

std::string HttpPlace::authority() const {
  if (is_unix()) return "localhost";
  if (host.find(':') != std::string::npos) return cat("[", host, "]:", port);
  return cat(host, ":", port);
}

absl::StatusOr<HttpPlace> HttpPlace::parse(std::string_view url) {
  const auto bad = [&](std::string_view why) {
    return absl::InvalidArgumentError(cat("bad URL ", url, ": ", why));
  };
  const size_t colon = url.find("://");
  if (colon == std::string_view::npos) return bad("no scheme");
  const std::string_view scheme = url.substr(0, colon);
  std::string_view rest = url.substr(colon + 3);
  HttpPlace place;
  place.tls = scheme == "https" || scheme == "unixs";
  if (scheme == "unix" || scheme == "unixs") {
    place.host = rest;
    return rest.empty() ? bad("no path") : absl::StatusOr<HttpPlace>(std::move(place));
  }
  if (scheme != "http" && scheme != "https") return bad("unsupported scheme");
  if (rest.ends_with('/')) rest.remove_suffix(1);
  if (rest.empty() || rest.find_first_of("/@?# ") != std::string_view::npos) return bad("host");
  size_t end = rest.rfind(':');
  if (rest.front() == '[') {
    const size_t bracket = rest.find(']');
    if (bracket == std::string_view::npos) return bad("host");
    place.host = rest.substr(1, bracket - 1);
    if (bracket + 1 < rest.size() && rest[bracket + 1] != ':') return bad("host");
    end = bracket + 1 < rest.size() ? bracket + 1 : std::string_view::npos;
  } else {
    place.host = rest.substr(0, end);
  }
  place.port = end == std::string_view::npos ? (place.tls ? "443" : "80") : rest.substr(end + 1);
  const bool number = !place.port.empty() && place.port.size() <= 5 &&
                      std::all_of(place.port.begin(), place.port.end(),
                                  [](char c) { return c >= '0' && c <= '9'; });
  if (!number || std::stoi(place.port) > 65535) return bad("port");
  if (place.host.empty()) return bad("host");
  return place;
}

// ---- the pools

class HttpClient::Impl final : public ClientConnectionOwner, public ExchangeCarrier {
 public:
  Impl(Loop* loop, Resolver* resolver, HttpClientOptions options)
      : loop_(*loop), resolver_(*resolver), options_(std::move(options)) {}
  ~Impl();

  void start(std::shared_ptr<ClientExchange> exchange);
  size_t connections() const;
  Loop& loop() { return loop_; }
  const HttpClientOptions& options() const { return options_; }

 private:
  using Exchanges = std::deque<std::shared_ptr<ClientExchange>>;
  using Connections = std::map<ClientConnection*, std::shared_ptr<ClientConnection>>;
  struct Pool {
    Exchanges waiting;                      // <= max_waiting, those sent again aside
    std::vector<ClientConnection*> kept;    // free ones, the newest last; each in `connections`
    Connections connections;                // whatever they do
    std::set<std::shared_ptr<Dial>> dials;  // with `connections`: <= max_connections
    size_t connecting = 0;                  // connections that have never been free

    bool idle() const { return waiting.empty() && connections.empty() && dials.empty(); }
    size_t open() const { return connections.size() + dials.size(); }
    size_t coming() const { return dials.size() + connecting; }
  };

  void exchange_ready() override {}
  size_t unsent() const override { return 0; }
  void exchange_over(ClientExchange* exchange, bool reusable) override;
  void connection_free(ClientConnection* connection, bool first) override;
  void connection_closed(ClientConnection* connection, absl::Status why,
                         std::shared_ptr<ClientExchange> again) override;

  void serve(const HttpPlace& place);
  void dial(const HttpPlace& place);
  void dialled(const HttpPlace& place, const std::shared_ptr<Dial>& dial, absl::StatusOr<int> fd);
  void fail_first(const HttpPlace& place, absl::Status why);
  void forget_if_idle(const HttpPlace& place);

  Loop& loop_;
  Resolver& resolver_;
  const HttpClientOptions options_;
  std::map<HttpPlace, Pool> pools_;
};

HttpClient::Impl::~Impl() {
  auto pools = std::move(pools_);
  for (auto& [place, pool] : pools) {
    for (const auto& dial : pool.dials) dial->forget();
    for (const auto& exchange : Exchanges(pool.waiting)) exchange->cancel();
    for (const auto& [key, connection] : pool.connections) connection->drop();
  }
}

size_t HttpClient::Impl::connections() const {
  size_t sum = 0;
  for (const auto& [place, pool] : pools_) sum += pool.open();
  return sum;
}

void HttpClient::Impl::start(std::shared_ptr<ClientExchange> exchange) {
  const HttpPlace place = exchange->place();
  absl::Status status = exchange->check();
  if (status.ok() && place.tls && (!options_.tls || !options_.handshakes)) {
    status = absl::FailedPreconditionError("this client has no TLS");
  }
  Pool& pool = pools_[place];
  if (status.ok() && pool.waiting.size() >= options_.max_waiting) {
    status = absl::ResourceExhaustedError(
        cat("too many requests wait for a connection to ", place.authority()));
  }
  if (!status.ok()) {
    forget_if_idle(place);
    return loop_.post([exchange = std::move(exchange), status] { exchange->fail(status); });
  }
  exchange->wait_in(this, options_.queue_timeout);
  pool.waiting.push_back(std::move(exchange));
  serve(place);
}

// Gives those who wait what is free, and connects for the rest.
void HttpClient::Impl::serve(const HttpPlace& place) {
  Pool& pool = pools_[place];
  while (!pool.waiting.empty() && !pool.kept.empty()) {
    ClientConnection* connection = pool.kept.back();
    pool.kept.pop_back();
    std::shared_ptr<ClientExchange> first = std::move(pool.waiting.front());
    pool.waiting.pop_front();
    connection->carry(std::move(first));
  }
  while (pool.coming() < pool.waiting.size() && pool.open() < options_.max_connections) dial(place);
  forget_if_idle(place);
}

void HttpClient::Impl::forget_if_idle(const HttpPlace& place) {
  auto found = pools_.find(place);
  if (found != pools_.end() && found->second.idle()) pools_.erase(found);
}

void HttpClient::Impl::dial(const HttpPlace& place) {
  // Known to its own end only once it is made.
  auto self = std::make_shared<std::weak_ptr<Dial>>();
  auto done = [this, place, self](absl::StatusOr<int> fd) {
    dialled(place, self->lock(), std::move(fd));
  };
  std::shared_ptr<Dial> dial =
      place.is_unix()
          ? Dial::start_unix(&loop_, place.host, options_.connect_timeout, std::move(done))
          : Dial::start_tcp(&loop_, &resolver_, place.host, place.port, options_.connect_timeout,
                            options_.from, std::move(done));
  *self = dial;
  pools_[place].dials.insert(std::move(dial));
}

void HttpClient::Impl::dialled(const HttpPlace& place, const std::shared_ptr<Dial>& dial,
                               absl::StatusOr<int> fd) {
  Pool& pool = pools_[place];
  CHECK(pool.dials.erase(dial) == 1);
  if (!fd.ok()) {
    fail_first(place, fd.status());
    return serve(place);
  }
  auto connection = std::make_shared<ClientConnection>(&loop_, *fd, place, options_, this);
  pool.connections.emplace(connection.get(), connection);
  ++pool.connecting;
  connection->start(options_.connect_timeout);
}

// Each failure is one exchange's.
void HttpClient::Impl::fail_first(const HttpPlace& place, absl::Status why) {
  Pool& pool = pools_[place];
  if (pool.waiting.empty()) return;
  std::shared_ptr<ClientExchange> first = std::move(pool.waiting.front());
  pool.waiting.pop_front();
  first->leave_queue();
  loop_.post([first = std::move(first), why = std::move(why)] { first->fail(why); });
}

void HttpClient::Impl::connection_free(ClientConnection* connection, bool first) {
  Pool& pool = pools_[connection->place()];
  if (first) --pool.connecting;
  pool.kept.push_back(connection);
  connection->keep_for(options_.idle_timeout);
  serve(connection->place());
}

void HttpClient::Impl::connection_closed(ClientConnection* connection, absl::Status why,
                                         std::shared_ptr<ClientExchange> again) {
  const HttpPlace place = connection->place();
  Pool& pool = pools_[place];
  std::erase(pool.kept, connection);
  CHECK(pool.connections.erase(connection) == 1);
  if (!connection->stood()) {
    --pool.connecting;
    fail_first(place, std::move(why));
  }
  if (again) {
    again->go_again(this, options_.queue_timeout);
    pool.waiting.push_front(std::move(again));
  }
  serve(place);
}

// One that waits has been cancelled, or has waited too long, or has failed with its connection.
void HttpClient::Impl::exchange_over(ClientExchange* exchange, bool) {
  const HttpPlace place = exchange->place();
  auto found = pools_.find(place);
  if (found == pools_.end()) return;
  std::erase_if(found->second.waiting, [&](const auto& one) { return one.get() == exchange; });
  forget_if_idle(place);
}

// ---- HttpClient

namespace {

// Gathers a short answer.
class Gatherer final : public HttpReceiver {
 public:
  Gatherer(size_t most, HttpClient::Done done) : most_(most), done_(std::move(done)) {}

  void follow(std::weak_ptr<HttpExchange> exchange) { exchange_ = std::move(exchange); }

  void on_head(HttpResponseHead head) override { answer_.head = std::move(head); }
  void on_body(std::string_view piece) override {
    if (answer_.body.size() + piece.size() > most_) {
      auto exchange = exchange_.lock();
      HttpClient::Done done = std::move(done_);
      if (exchange) exchange->cancel();
      return done(absl::ResourceExhaustedError("the answer is too long"));
    }
    answer_.body.append(piece);
  }
  void on_end(absl::Status status) override {
    if (!status.ok()) return done_(std::move(status));
    done_(std::move(answer_));
  }

 private:
  const size_t most_;
  HttpClient::Done done_;
  std::weak_ptr<HttpExchange> exchange_;
  HttpClient::Answer answer_;
};

}  // namespace

HttpClient::HttpClient(Loop* loop, Resolver* resolver, HttpClientOptions options)
    : impl_(std::make_unique<Impl>(loop, resolver, std::move(options))) {}

HttpClient::~HttpClient() = default;

HttpExchangeRef HttpClient::start(HttpClientRequest request,
                                  std::unique_ptr<HttpReceiver> receiver) {
  auto exchange = std::make_shared<ClientExchange>(&impl_->loop(), std::move(request),
                                                   std::move(receiver), impl_->options());
  impl_->start(exchange);
  return exchange;
}

HttpExchangeRef HttpClient::fetch(HttpClientRequest request, size_t max_body, Done done) {
  auto gatherer = std::make_unique<Gatherer>(max_body, std::move(done));
  Gatherer* follower = gatherer.get();
  HttpExchangeRef exchange = start(std::move(request), std::move(gatherer));
  follower->follow(exchange);
  return exchange;
}

size_t HttpClient::connections() const { return impl_->connections(); }

}  // namespace keelson::net
