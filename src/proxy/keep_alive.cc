#include "proxy/keep_alive.h"

#include <algorithm>
#include <deque>
#include <set>

#include "base/errors.h"
#include "base/protobuf.h"
#include "proto/rpc.pb.h"
#include "proxy/forward.h"
#include "proxy/messages.h"

namespace keelson::proxy {
namespace {

constexpr char kPath[] = "/etcdserverpb.Lease/LeaseKeepAlive";

// LeaseKeepAliveResponse.ID; 0: there is none.
int64_t lease_of(std::string_view answer) {
  int64_t id = 0;
  pb::Reader reader(answer);
  for (pb::Field field; reader.next(&field);) {
    if (field.is(2, pb::kVarint)) id = static_cast<int64_t>(field.value);
  }
  return id;
}

}  // namespace

class KeepAliveGroup : public std::enable_shared_from_this<KeepAliveGroup> {
 public:
  using Client = KeepAliveHub::Client;

  KeepAliveGroup(const KeepAliveHub::Deps& deps, KeepAliveHub::Metadata metadata)
      : deps_(deps), metadata_(std::move(metadata)) {}
  ~KeepAliveGroup() { close(); }

  void close() {
    if (stream_) std::exchange(stream_, nullptr)->cancel();
  }

  void add(Client client) { clients_.insert(client); }
  bool remove(Client client) {
    clients_.erase(client);
    for (auto& [lease, question] : waiting_) {
      std::erase_if(question.askers, [&](const Asker& asker) { return asker.client == client; });
    }
    return clients_.empty();
  }

  void renew(Client client, const std::shared_ptr<ClientSink>& sink, int64_t lease) {
    const auto [place, is_new] = waiting_.try_emplace(lease);
    place->second.askers.push_back({client, sink});
    if (!is_new) return deps_.metrics.keep_alives_coalescing.add();
    place->second.since = beat_;
    if (!beating_) beat_later();
    if (!stream_) open();
    to_write_.push_back(lease);
    if (!writing_) write_next();
  }

 private:
  struct Asker {
    Client client;
    std::shared_ptr<ClientSink> sink;  // shared with the stream
  };

  // About one lease.
  struct Question {
    uint64_t since = 0;  // <= beat_; the beat when it was asked
    std::vector<Asker> askers;
  };

  class Events final : public outbound::RpcStreamEvents {
   public:
    Events(std::weak_ptr<KeepAliveGroup> group, uint64_t number)
        : group_(std::move(group)), number_(number) {}
    void on_message(Parts message) override {
      const auto group = of_now();
      if (group) group->answered(message);
    }
    void on_written() override {
      const auto group = of_now();
      if (!group) return;
      group->writing_ = false;
      group->write_next();
    }
    void on_end(absl::Status status) override {
      const auto group = of_now();
      if (group) group->ended(status);
    }

   private:
    std::shared_ptr<KeepAliveGroup> of_now() const {
      std::shared_ptr<KeepAliveGroup> group = group_.lock();
      return group && group->stream_ && group->number_ == number_ ? group : nullptr;
    }

    const std::weak_ptr<KeepAliveGroup> group_;
    const uint64_t number_;
  };

  void open() {
    stream_ = deps_.client.stream({.path = kPath, .metadata = metadata_}, &deps_.lane,
                                  std::make_unique<Events>(weak_from_this(), ++number_));
    writing_ = false;
    stream_->read();
  }

  void write_next() {
    if (to_write_.empty()) return;
    writing_ = true;
    etcdserverpb::LeaseKeepAliveRequest request;
    request.set_id(to_write_.front());
    to_write_.pop_front();
    stream_->write(Bytes::copy(request.SerializeAsString()));
  }

  void answered(const Parts& message) {
    const Parts whole = Parts::copy(message.flat());
    if (auto found = waiting_.extract(
            lease_of(whole.parts().empty() ? std::string_view() : whole.parts().front().view()))) {
      for (const Asker& asker : found.mapped().askers) {
        asker.sink->send(shared(whole));
        asker.sink->answered();
      }
    }
    stream_->read();
  }

  void ended(const absl::Status& status) {
    stream_.reset();
    to_write_.clear();
    const absl::Status why =
        status.ok() ? absl::UnavailableError("the cluster ended its keep-alive stream") : status;
    for (const auto& [lease, question] : std::exchange(waiting_, {})) {
      for (const Asker& asker : question.askers) asker.sink->end(why);
    }
  }

  // While anybody waits. A server that takes questions and answers none would let all leases run
  // out, of every client, while others could renew them.
  void beat_later() {
    beating_ = true;
    deps_.lane.post_after(KeepAliveHub::kPatience, [group = weak_from_this()] {
      if (const auto self = group.lock()) self->beat();
    });
  }
  void beat() {
    beating_ = false;
    const bool silent = std::any_of(waiting_.begin(), waiting_.end(), [this](const auto& entry) {
      return entry.second.since < beat_;
    });
    ++beat_;
    if (silent) {
      close();
      ended(absl::UnavailableError("a server does not answer keep-alives"));
    }
    if (!waiting_.empty()) beat_later();
  }

  const KeepAliveHub::Deps deps_;
  const KeepAliveHub::Metadata metadata_;
  std::set<Client> clients_;
  std::map<int64_t, Question> waiting_;          // by lease: it is being asked for
  std::deque<int64_t> to_write_;                 // each is in waiting_
  std::shared_ptr<outbound::RpcStream> stream_;  // shared with grpc++'s side; null: none
  uint64_t number_ = 0;                          // of the stream
  bool writing_ = false;
  uint64_t beat_ = 0;
  bool beating_ = false;  // a beat is to come
};

KeepAliveHub::KeepAliveHub(const Deps& deps) : deps_(deps) {}
KeepAliveHub::~KeepAliveHub() {
  for (auto& [metadata, group] : groups_) group->close();
}

KeepAliveHub::Client KeepAliveHub::join(std::shared_ptr<ClientSink> sink,
                                        const Metadata& metadata) {
  std::shared_ptr<KeepAliveGroup>& group = groups_[metadata];
  if (!group) group = std::make_shared<KeepAliveGroup>(deps_, metadata);
  clients_[++last_client_] = {group, std::move(sink)};
  group->add(last_client_);
  return last_client_;
}

void KeepAliveHub::leave(Client client) {
  const auto known = clients_.find(client);
  if (known == clients_.end()) return;
  const std::shared_ptr<KeepAliveGroup> group = known->second.group;
  clients_.erase(known);
  if (!group->remove(client)) return;
  group->close();
  std::erase_if(groups_, [&](const auto& entry) { return entry.second == group; });
}

void KeepAliveHub::renew(Client client, int64_t lease) {
  const auto known = clients_.find(client);
  if (known != clients_.end()) known->second.group->renew(client, known->second.sink, lease);
}

class KeepAliveService::Receiver final : public net::StreamReceiver {
 public:
  Receiver(KeepAliveService& service, net::CallRef call)
      : hub_(service.hub_),
        stream_(std::make_shared<ClientStream>(std::move(call), &service.lane_)),
        client_(std::make_shared<KeepAliveHub::Client>(0)) {
    stream_->lane().post(
        [hub = &hub_, stream = stream_, client = client_, metadata = identity_of(stream_->call())] {
          *client = hub->join(stream, metadata);
        });
    stream_->call().send_headers();
  }
  ~Receiver() override {
    stream_->lane().post([hub = &hub_, client = client_] { hub->leave(*client); });
  }

  void on_message(Bytes message) override {
    etcdserverpb::LeaseKeepAliveRequest request;
    if (absl::Status s = parse(message, &request); !s.ok()) return stream_->call().fail(s);
    stream_->requested();
    stream_->lane().post(
        [hub = &hub_, client = client_, lease = request.id()] { hub->renew(*client, lease); });
  }
  // Whoever asks no more ends the call once what it asked for has been answered.
  void on_half_close() override { stream_->finish_when_answered(); }
  void on_writable() override { stream_->on_writable(); }
  void on_drain() override { stream_->call().finish(errors::Stopped()); }

 private:
  KeepAliveHub& hub_;
  const std::shared_ptr<ClientStream> stream_;  // shared as it says
  // The lane's, once it has joined: what is posted later finds it.
  const std::shared_ptr<KeepAliveHub::Client> client_;
};

void KeepAliveService::register_on(net::Router& router, const net::MethodOptions& options) {
  router.stream(kPath, net::MethodKind::kBidiStream, this, options);
}

std::unique_ptr<net::StreamReceiver> KeepAliveService::on_open(net::CallRef call) {
  return std::make_unique<Receiver>(*this, std::move(call));
}

}  // namespace keelson::proxy
