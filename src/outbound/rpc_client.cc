#include "outbound/rpc_client.h"

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>

#include "base/check.h"
#include "base/errors.h"
#include "base/text.h"
#include "base/thread.h"
#include "outbound/channel.h"

namespace keelson::outbound {
namespace {

constexpr char kTooLarge[] = "trying to send message larger than max (";

grpc::ByteBuffer buffer_of(const Bytes& bytes) {
  grpc::Slice slice(bytes.view().data(), bytes.size());
  return grpc::ByteBuffer(&slice, 1);
}

Parts parts_of(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  Parts parts;
  if (!buffer.Dump(&slices).ok()) return parts;
  for (const grpc::Slice& slice : slices) {
    parts.add(Bytes::copy({reinterpret_cast<const char*>(slice.begin()), slice.size()}));
  }
  return parts;
}

absl::Status status_of(const grpc::Status& status) {
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

void prepare(const RpcRequest& request, grpc::ClientContext* context) {
  for (const auto& [name, value] : request.metadata) context->AddMetadata(name, value);
  if (!request.deadline) return;
  const Duration left = *request.deadline - SystemClock().now();
  context->set_deadline(std::chrono::system_clock::now() +
                        std::chrono::duration_cast<std::chrono::system_clock::duration>(left));
}

// Keeps channels connected, by looking what becomes of them: what grpc++ connects in the background
// gets on only while somebody waits for it, and would else be given up when a handshake's time is
// over. Its thread ends with it.
class Watchman {
 public:
  Watchman() : thread_([this] { watch(); }) {}
  ~Watchman() {
    {
      std::lock_guard lock(mutex_);
      over_ = true;
      if (watched_ == 0) queue_.Shutdown();
    }
    thread_.join();
  }

  void add(const std::shared_ptr<grpc::Channel>& channel) {
    std::lock_guard lock(mutex_);
    ++watched_;
    wait_for(new std::weak_ptr<grpc::Channel>(channel), *channel);
  }

 private:
  static constexpr auto kBeat = std::chrono::milliseconds(500);
  using Watched = std::weak_ptr<grpc::Channel>;  // who else has it uses it

  void wait_for(Watched* watched, grpc::Channel& channel) {
    channel.NotifyOnStateChange(channel.GetState(true), std::chrono::system_clock::now() + kBeat,
                                &queue_, watched);
  }
  void watch() {
    void* tag = nullptr;
    for (bool ok = false; queue_.Next(&tag, &ok);) {
      auto* watched = static_cast<Watched*>(tag);
      const std::shared_ptr<grpc::Channel> channel = watched->lock();
      std::lock_guard lock(mutex_);
      if (channel && !over_) {
        wait_for(watched, *channel);
        continue;
      }
      delete watched;
      if (--watched_ == 0 && over_) queue_.Shutdown();
    }
  }

  std::mutex mutex_;
  grpc::CompletionQueue queue_;
  bool over_ = false;
  size_t watched_ = 0;  // each has one question in the queue
  Thread thread_;
};

// The servers that are asked, and whose turn it is.
class Servers {
 public:
  struct Server {
    std::shared_ptr<grpc::Channel> channel;
    std::unique_ptr<grpc::GenericStub> stub;
  };
  // shared_ptr: calls under way hold what they were made with.
  using ServerRef = std::shared_ptr<const Server>;

  explicit Servers(ChannelOptions how) : how_(std::move(how)) {}

  absl::Status set(const std::vector<std::string>& endpoints, Watchman* watchman) {
    std::lock_guard changing(changing_);
    List made;
    for (const std::string& endpoint : endpoints) {
      ServerRef server = known(endpoint);
      if (!server) {
        absl::StatusOr<ServerRef> opened = open(endpoint, watchman);
        if (!opened.ok()) return opened.status();
        server = *std::move(opened);
      }
      made.emplace_back(endpoint, std::move(server));
    }
    List old;
    {
      std::lock_guard lock(mutex_);
      old = std::exchange(servers_, std::move(made));
      for (auto& [endpoint, server] : former_) {
        if (std::count(endpoints.begin(), endpoints.end(), endpoint) == 0) {
          old.emplace_back(endpoint, std::move(server));
        }
      }
      std::erase_if(former_, [](const auto& entry) { return !entry.second; });
    }
    return absl::OkStatus();
  }

  absl::Status renew(Watchman* watchman) {
    std::lock_guard changing(changing_);
    List made;
    for (const std::string& endpoint : names()) {
      absl::StatusOr<ServerRef> opened = open(endpoint, watchman);
      if (!opened.ok()) return opened.status();
      made.emplace_back(endpoint, *std::move(opened));
    }
    List old;
    {
      std::lock_guard lock(mutex_);
      // Who had one that stands goes on with it; one of an earlier renewal that never stood is
      // none.
      std::swap(servers_, made);
      if (!former_.empty() && !ready(made)) std::swap(former_, made);
      old = std::exchange(former_, std::move(made));
    }
    return absl::OkStatus();
  }

  // Never null.
  ServerRef next() {
    List old;
    std::lock_guard lock(mutex_);
    if (!former_.empty()) {
      if (ready(servers_)) {
        old = std::exchange(former_, {});
      } else if (ServerRef server = ready(former_)) {
        return server;
      }
    }
    ServerRef second;
    for (size_t i = 0; i < servers_.size(); ++i) {
      turn_ = (turn_ + 1) % servers_.size();
      const ServerRef& server = servers_[turn_].second;
      const grpc_connectivity_state state = server->channel->GetState(false);
      if (state == GRPC_CHANNEL_READY) return server;
      if (state != GRPC_CHANNEL_TRANSIENT_FAILURE) second = server;
    }
    return second ? second : servers_[turn_].second;
  }

  size_t size() const {
    std::lock_guard lock(mutex_);
    return servers_.size();
  }

 private:
  using List = std::vector<std::pair<std::string, ServerRef>>;

  absl::StatusOr<ServerRef> open(const std::string& endpoint, Watchman* watchman) const {
    absl::StatusOr<std::shared_ptr<grpc::Channel>> channel = open_channel(endpoint, how_);
    if (!channel.ok()) return channel.status();
    watchman->add(*channel);
    return std::make_shared<Server>(
        Server{*channel, std::make_unique<grpc::GenericStub>(*channel)});
  }
  static ServerRef ready(const List& servers) {
    for (const auto& [endpoint, server] : servers) {
      if (server->channel->GetState(false) == GRPC_CHANNEL_READY) return server;
    }
    return nullptr;
  }
  std::vector<std::string> names() const {
    std::lock_guard lock(mutex_);
    std::vector<std::string> all;
    for (const auto& [endpoint, server] : servers_) all.push_back(endpoint);
    return all;
  }
  ServerRef known(const std::string& endpoint) const {
    std::lock_guard lock(mutex_);
    for (const auto& [name, server] : servers_) {
      if (name == endpoint) return server;
    }
    return nullptr;
  }

  const ChannelOptions how_;
  std::mutex changing_;       // whoever changes what follows, one after the other; first
  mutable std::mutex mutex_;  // of what follows, for moments
  List servers_;
  List former_;  // of before the files changed, until one of servers_ has been reached
  size_t turn_ = 0;
};

// What is under way, counted while it lives.
class Load {
 public:
  explicit Load(const ClusterClientOptions& options)
      : max_calls_(options.max_calls), max_bytes_(options.max_request_bytes) {}

  bool take(size_t bytes) {
    const size_t calls = calls_.fetch_add(1) + 1, all = bytes_.fetch_add(bytes) + bytes;
    if (calls <= max_calls_ && (all <= max_bytes_ || all == bytes)) return true;
    give(bytes);
    return false;
  }
  void give(size_t bytes) {
    bytes_.fetch_sub(bytes);
    if (calls_.fetch_sub(1) > 1) return;
    std::lock_guard lock(mutex_);
    idle_.notify_all();
  }
  size_t calls() const { return calls_; }
  bool wait_until_idle(Duration time) {
    std::unique_lock lock(mutex_);
    return idle_.wait_for(lock, time, [this] { return calls_ == 0; });
  }

 private:
  const size_t max_calls_, max_bytes_;
  std::mutex mutex_;  // for who waits
  std::condition_variable idle_;
  std::atomic<size_t> calls_{0};
  std::atomic<size_t> bytes_{0};
};

// A share of the load.
class Share {
 public:
  Share(std::shared_ptr<Load> load, size_t bytes) : load_(std::move(load)), bytes_(bytes) {}
  ~Share() { load_->give(bytes_); }
  Share(const Share&) = delete;
  Share& operator=(const Share&) = delete;

 private:
  const std::shared_ptr<Load> load_;
  const size_t bytes_;
};

class UnaryCall final : public RpcCall, public std::enable_shared_from_this<UnaryCall> {
 public:
  UnaryCall(std::shared_ptr<Servers> servers, std::shared_ptr<Load> load, RpcRequest request,
            RpcClient::Done done)
      : servers_(std::move(servers)),
        share_(std::in_place, std::move(load), request.message.size()),
        request_(std::move(request)),
        done_(std::move(done)),
        tries_(request_.repeatable ? servers_->size() : 1),
        out_(buffer_of(request_.message)) {}

  void start() {
    auto context = std::make_unique<grpc::ClientContext>();
    prepare(request_, context.get());
    server_ = servers_->next();
    --tries_;
    {
      std::lock_guard lock(mutex_);
      if (cancelled_) context->TryCancel();
      context_ = std::move(context);
    }
    server_->stub->UnaryCall(
        context_.get(), request_.path, {}, &out_, &in_,
        [self = shared_from_this()](const grpc::Status& status) { self->ended(status); });
  }

  void cancel() override {
    std::lock_guard lock(mutex_);
    cancelled_ = true;
    if (context_) context_->TryCancel();
  }

 private:
  void ended(const grpc::Status& status) {
    if (status.ok()) return finish(parts_of(in_));
    bool again = status.error_code() == grpc::StatusCode::UNAVAILABLE && tries_ > 0;
    {
      std::lock_guard lock(mutex_);
      again = again && !cancelled_;
      if (again) past_.push_back(std::move(context_));
    }
    if (again) return start();
    finish(status_of(status));
  }
  // Who waits may hold this, and `done` who waits. Who waits until nothing is under way may end
  // what `done` speaks of.
  void finish(absl::StatusOr<Parts> answered) {
    RpcClient::Done done = std::move(done_);
    done(std::move(answered));
    done = nullptr;
    share_.reset();
  }

  const std::shared_ptr<Servers> servers_;
  std::optional<Share> share_;  // until it has ended
  const RpcRequest request_;
  RpcClient::Done done_;
  size_t tries_;  // that are left
  grpc::ByteBuffer out_, in_;
  Servers::ServerRef server_;
  std::mutex mutex_;  // cancel() comes on any thread
  bool cancelled_ = false;
  std::unique_ptr<grpc::ClientContext> context_;
  // Of tries that failed: this runs inside of the last one's end.
  std::vector<std::unique_ptr<grpc::ClientContext>> past_;
};

// grpc++ calls it back on threads of its own, one at a time for each kind; everything that follows
// from that happens on the lane. It holds the call open until the lane has heard of the end, so
// that nothing is begun on one that is over.
class Stream final : public RpcStream,
                     public std::enable_shared_from_this<Stream>,
                     private grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  Stream(Servers::ServerRef server, std::shared_ptr<Load> load, Executor* lane,
         std::unique_ptr<RpcStreamEvents> events)
      : server_(std::move(server)),
        share_(std::in_place, std::move(load), 0),
        lane_(*lane),
        events_(std::move(events)) {}

  void start(const RpcRequest& request) {
    self_ = shared_from_this();
    prepare(request, &context_);
    server_->stub->PrepareBidiStreamingCall(&context_, request.path, {}, this);
    AddHold();
    StartCall();
  }

  void read() override {
    if (!over_) StartRead(&in_);
  }
  void write(Bytes message) override {
    if (over_) return;
    out_ = buffer_of(message);
    StartWrite(&out_);
  }
  void half_close() override {
    if (!over_) StartWritesDone();
  }
  void cancel() override {
    context_.TryCancel();
    let_go();
  }

 private:
  void OnReadDone(bool ok) override {
    lane_.post([self = shared_from_this(), ok] {
      if (!ok) return self->let_go();
      if (!self->over_) self->events_->on_message(parts_of(self->in_));
    });
  }
  void OnWriteDone(bool ok) override {
    lane_.post([self = shared_from_this(), ok] {
      if (!ok) return self->let_go();
      if (!self->over_) self->events_->on_written();
    });
  }
  void OnDone(const grpc::Status& status) override {
    lane_.post([self = shared_from_this(), status = status_of(status)] {
      self->share_.reset();
      self->events_->on_end(status);
      self->events_.reset();
      self->self_.reset();
    });
  }
  void let_go() {
    if (std::exchange(over_, true)) return;
    RemoveHold();
  }

  const Servers::ServerRef server_;
  std::optional<Share> share_;  // until it has ended
  Executor& lane_;
  std::unique_ptr<RpcStreamEvents> events_;
  grpc::ClientContext context_;
  grpc::ByteBuffer in_, out_;
  bool over_ = false;             // the lane's: nothing is begun any more
  std::shared_ptr<Stream> self_;  // until grpc++ is done with it
};

class GrpcClusterClient final : public ClusterClient {
 public:
  explicit GrpcClusterClient(ClusterClientOptions options)
      : options_(std::move(options)),
        servers_(std::make_shared<Servers>(options_.channel)),
        load_(std::make_shared<Load>(options_)) {}

  std::shared_ptr<RpcCall> unary(RpcRequest request, Done done) override {
    const size_t size = request.message.size();
    if (options_.max_send_bytes > 0 && size > options_.max_send_bytes) {
      done(absl::ResourceExhaustedError(
          cat(kTooLarge, size, " vs. ", options_.max_send_bytes, ")")));
      return nullptr;
    }
    if (!load_->take(size)) {
      done(errors::RequestTooManyRequests());
      return nullptr;
    }
    auto call = std::make_shared<UnaryCall>(servers_, load_, std::move(request), std::move(done));
    call->start();
    return call;
  }

  std::shared_ptr<RpcStream> stream(RpcRequest request, Executor* lane,
                                    std::unique_ptr<RpcStreamEvents> events) override {
    if (!load_->take(0)) {
      lane->post(
          [events = std::move(events)] { events->on_end(errors::RequestTooManyRequests()); });
      return std::make_shared<NoStream>();
    }
    auto stream = std::make_shared<Stream>(servers_->next(), load_, lane, std::move(events));
    stream->start(request);
    return stream;
  }

  absl::Status set_endpoints(const std::vector<std::string>& endpoints) override {
    CHECK(!endpoints.empty());
    return servers_->set(endpoints, &watchman_);
  }
  absl::Status renew() override { return servers_->renew(&watchman_); }
  size_t endpoints() const override { return servers_->size(); }
  size_t calls() const override { return load_->calls(); }
  bool wait_until_idle(Duration time) override { return load_->wait_until_idle(time); }

 private:
  // One that was refused.
  class NoStream final : public RpcStream {
   public:
    void read() override {}
    void write(Bytes) override {}
    void half_close() override {}
    void cancel() override {}
  };

  const ClusterClientOptions options_;
  const std::shared_ptr<Servers> servers_;  // shared with the calls, as is the load
  const std::shared_ptr<Load> load_;
  Watchman watchman_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<ClusterClient>> ClusterClient::open(ClusterClientOptions options) {
  const std::vector<std::string> endpoints = options.endpoints;
  auto client = std::make_unique<GrpcClusterClient>(std::move(options));
  if (absl::Status s = client->set_endpoints(endpoints); !s.ok()) return s;
  return client;
}

}  // namespace keelson::outbound
