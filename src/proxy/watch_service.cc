#include "proxy/watch_service.h"

#include <utility>

#include "base/errors.h"
#include "proto/rpc.pb.h"
#include "proxy/forward.h"
#include "proxy/messages.h"

namespace keelson::proxy {

namespace pb = etcdserverpb;

class WatchService::Receiver final : public net::StreamReceiver {
 public:
  Receiver(WatchService& service, net::CallRef call)
      : hub_(service.hub_),
        prefix_(service.prefix_),
        stream_(std::make_shared<ClientStream>(std::move(call), &service.lane_)),
        client_(std::make_shared<WatchHub::Client>(0)) {
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
    pb::WatchRequest request;
    if (absl::Status s = parse(message, &request); !s.ok()) return stream_->call().fail(s);
    switch (request.request_union_case()) {
      case pb::WatchRequest::kCreateRequest:
        return create(request.mutable_create_request());
      case pb::WatchRequest::kCancelRequest:
        return to_hub([id = request.cancel_request().watch_id()](
                          WatchHub& hub, WatchHub::Client client) { hub.cancel(client, id); });
      case pb::WatchRequest::kProgressRequest:
        return to_hub([](WatchHub& hub, WatchHub::Client client) { hub.ask_progress(client); });
      case pb::WatchRequest::REQUEST_UNION_NOT_SET:
        break;
    }
  }
  void on_writable() override { stream_->on_writable(); }
  void on_drain() override { stream_->call().finish(errors::Stopped()); }

 private:
  void create(pb::WatchCreateRequest* request) {
    WatchWish wish{.start = request->start_revision(),
                   .id = request->watch_id(),
                   .progress = request->progress_notify(),
                   .prev_kv = request->prev_kv()};
    for (const int filter : request->filters()) {
      if (filter == pb::WatchCreateRequest::NOPUT) wish.no_put = true;
      if (filter == pb::WatchCreateRequest::NODELETE) wish.no_delete = true;
    }
    if (!prefix_.empty()) prefix_.add_to(request);
    wish.key = request->key();
    wish.end = request->range_end();
    to_hub([wish = std::move(wish)](WatchHub& hub, WatchHub::Client client) mutable {
      hub.create(client, std::move(wish));
    });
  }

  template <typename Step>
  void to_hub(Step step) {
    stream_->requested();
    stream_->lane().post(
        [hub = &hub_, client = client_, step = std::move(step)]() mutable { step(*hub, *client); });
  }

  WatchHub& hub_;
  const KeyPrefix& prefix_;
  const std::shared_ptr<ClientStream> stream_;  // shared as it says
  // The lane's, once it has joined: what is posted later finds it.
  const std::shared_ptr<WatchHub::Client> client_;
};

void WatchService::register_on(net::Router& router, const net::MethodOptions& options) {
  router.stream("/etcdserverpb.Watch/Watch", net::MethodKind::kBidiStream, this, options);
}

std::unique_ptr<net::StreamReceiver> WatchService::on_open(net::CallRef call) {
  return std::make_unique<Receiver>(*this, std::move(call));
}

}  // namespace keelson::proxy
