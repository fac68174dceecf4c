#include "proxy/watch_hub.h"

#include <utility>

#include "proxy/watch_group.h"

namespace keelson::proxy {

WatchHub::WatchHub(const Deps& deps) : deps_(deps) {}

WatchHub::~WatchHub() {
  for (auto& [metadata, group] : groups_) group->close();
}

WatchHub::Known* WatchHub::find(Client client) {
  const auto known = clients_.find(client);
  return known == clients_.end() ? nullptr : &known->second;
}

WatchHub::Client WatchHub::join(std::shared_ptr<ClientSink> sink, const Metadata& metadata) {
  std::shared_ptr<WatchGroup>& group = groups_[metadata];
  if (!group) group = std::make_shared<WatchGroup>(deps_, metadata);
  auto client = std::make_unique<GroupClient>();
  client->sink = std::move(sink);
  client->number = ++last_client_;
  clients_[last_client_] = {group, client.get()};
  group->add(std::move(client));
  return last_client_;
}

void WatchHub::leave(Client client) {
  const auto known = clients_.find(client);
  if (known == clients_.end()) return;
  const std::shared_ptr<WatchGroup> group = known->second.group;
  group->remove(known->second.client);
  clients_.erase(known);
  if (!group->empty()) return;
  group->close();
  std::erase_if(groups_, [&](const auto& entry) { return entry.second == group; });
}

void WatchHub::create(Client client, WatchWish wish) {
  if (Known* known = find(client)) known->group->create(*known->client, std::move(wish));
}
void WatchHub::cancel(Client client, int64_t id) {
  Known* known = find(client);
  if (!known) return;
  known->group->cancel(*known->client, id);
  known->client->sink->answered();
}
void WatchHub::ask_progress(Client client) {
  Known* known = find(client);
  if (!known) return;
  known->group->ask_progress(*known->client);
  known->client->sink->answered();
}

}  // namespace keelson::proxy
