#include "peer/snapshot_handler.h"

#include <utility>

#include "peer/headers.h"

namespace keelson::peer {

namespace {

class Body final : public net::HttpBodyReceiver {
 public:
  explicit Body(std::shared_ptr<IncomingSnapshot> snapshot) : snapshot_(std::move(snapshot)) {}
  void on_body(Bytes piece) override { snapshot_->take(piece.view()); }
  void on_end() override { snapshot_->finish(); }
  void on_abort() override { snapshot_->break_off(); }

 private:
  const std::shared_ptr<IncomingSnapshot> snapshot_;  // and its own work has it
};

}  // namespace

std::unique_ptr<net::HttpBodyReceiver> SnapshotHandler::Door::on_open(net::HttpRequest head,
                                                                      net::HttpReplyRef reply) {
  Hub* hub = accept_post(hub_, head, reply);
  if (!hub) return nullptr;
  return std::make_unique<Body>(
      std::make_shared<IncomingSnapshot>(hub_, std::move(reply), form_, current_));
}

void SnapshotHandler::stop() {
  if (std::shared_ptr<IncomingSnapshot> snapshot = current_.lock()) {
    snapshot->put_out("this member ends");
  }
}

void StoreFormHandler::handle(net::HttpRequest request, net::HttpReplyRef reply) {
  Hub* hub = hub_();
  if (!hub) return respond_not_running(reply);
  if (request.method != "GET") return respond(reply, method_answer("GET"), "");
  const std::string form = hub->snapshots() ? hub->snapshots()->store_form() : std::string();
  if (form.empty()) return respond(reply, text_answer(404, "404 page not found"), "");
  respond(reply, {.code = 200, .body = form, .content_type = kPlainText},
          id_text(hub->context().identity.cluster.value));
}

}  // namespace keelson::peer
