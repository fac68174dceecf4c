#include "base/workers.h"

#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <utility>

#include "base/check.h"
#include "base/shares.h"
#include "base/text.h"

namespace keelson {

Workers::Workers(Options options)
    : options_(std::move(options)),
      own_(static_cast<size_t>(options_.threads)),
      threads_(static_cast<size_t>(options_.threads)) {
  CHECK(options_.threads > 0);
  CHECK(options_.threads_per_connection > 0);
  CHECK(options_.threads_per_client > 0);
  CHECK(options_.bytes_as_one > 0);
  for (int i = 0; i < options_.threads; ++i) {
    threads_[static_cast<size_t>(i)] = Thread([this, i] { work(i); });
  }
}

Workers::~Workers() { stop(); }

bool Workers::run(Origin from, Job job, size_t bytes) {
  const size_t weight = 1 + bytes / options_.bytes_as_one;
  {
    std::lock_guard lock(mutex_);
    if (stopping_) return true;
    if (!admit(from, weight)) return false;
    push(from, std::move(job), weight);
  }
  wake_.notify_one();
  return true;
}

bool Workers::admit(Origin from, size_t weight) {
  if (weight_ >= options_.max_waiting) {
    full_.fetch_add(1, std::memory_order_relaxed);
    return false;
  }
  const auto client = clients_.find(from.client);
  if (client == clients_.end()) return true;
  const auto connection = client->second.connections.find(from.connection);
  const size_t own = connection == client->second.connections.end() ? 0 : connection->second.weight;
  if (own < options_.max_waiting_of_connection &&
      may_have_more(static_cast<int64_t>(client->second.weight), static_cast<int64_t>(own),
                    static_cast<int64_t>(weight),
                    static_cast<int64_t>(options_.max_waiting - weight_))) {
    return true;
  }
  over_share_.fetch_add(1, std::memory_order_relaxed);
  return false;
}

void Workers::go_on(Origin from, Job job) {
  {
    std::lock_guard lock(mutex_);
    if (stopping_) return;
    push(from, std::move(job), 1);
  }
  wake_.notify_one();
}

void Workers::run_on(int worker, Job job) {
  CHECK(worker >= 0);
  CHECK(worker < options_.threads);
  {
    std::lock_guard lock(mutex_);
    if (stopping_) return;
    own_[static_cast<size_t>(worker)].push_back(std::move(job));
  }
  wake_.notify_all();
}

void Workers::push(Origin from, Job job, size_t weight) {
  Client& client = clients_[from.client];
  Connection& connection = client.connections[from.connection];
  const bool had_turn = may_begin(connection);
  connection.waiting.push_back({std::move(job), weight});
  connection.weight += weight;
  client.weight += weight;
  weight_ += weight;
  if (!had_turn && may_begin(connection)) client.turns.push_back(from.connection);
  enlist(from.client, client);
}

void Workers::enlist(uint64_t id, Client& client) {
  if (client.listed || !may_begin(client)) return;
  client.listed = true;
  turns_.push_back(id);
}

// REQUIRES: somebody has a turn.
Workers::Taken Workers::take() {
  const uint64_t id = turns_.front();
  turns_.pop_front();
  Client& client = clients_[id];
  CHECK(client.listed);
  CHECK(may_begin(client));
  client.listed = false;
  const Origin from{id, client.turns.front()};
  client.turns.pop_front();
  Connection& connection = client.connections[from.connection];
  CHECK(may_begin(connection));
  auto [job, weight] = std::move(connection.waiting.front());
  connection.waiting.pop_front();
  CHECK(weight <= connection.weight);
  CHECK(connection.weight <= client.weight);
  CHECK(client.weight <= weight_);
  connection.weight -= weight;
  client.weight -= weight;
  weight_ -= weight;
  ++connection.running;
  ++client.running;
  if (may_begin(connection)) client.turns.push_back(from.connection);
  enlist(id, client);
  return {from, std::move(job)};
}

void Workers::done(Origin from) {
  Client& client = clients_[from.client];
  Connection& connection = client.connections[from.connection];
  CHECK(connection.running > 0);
  CHECK(client.running >= connection.running);
  const bool had_turn = may_begin(connection);
  --connection.running;
  --client.running;
  if (!had_turn && may_begin(connection)) client.turns.push_back(from.connection);
  enlist(from.client, client);
  if (connection.running == 0 && connection.waiting.empty()) {
    client.connections.erase(from.connection);
  }
  if (client.connections.empty()) clients_.erase(from.client);
}

void Workers::work(int worker) {
  pthread_setname_np(pthread_self(), cat(options_.name.substr(0, 12), "-", worker).c_str());
  // For this thread alone, as Linux has it. Refused, they are as eager as the others.
  if (options_.niceness != 0)
    setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), options_.niceness);
  std::unique_lock lock(mutex_);
  std::deque<Job>& own = own_[static_cast<size_t>(worker)];
  while (true) {
    wake_.wait(lock, [&] { return stopping_ || !turns_.empty() || !own.empty(); });
    if (stopping_) return;
    if (!own.empty()) {
      Job job = std::move(own.front());
      own.pop_front();
      lock.unlock();
      job(worker);
      job = nullptr;
      lock.lock();
      continue;
    }
    Taken taken = take();
    lock.unlock();
    taken.job(worker);
    taken.job = nullptr;
    lock.lock();
    done(taken.from);
  }
}

void Workers::stop() {
  absl::flat_hash_map<uint64_t, Client> dropped;
  std::vector<std::deque<Job>> dropped_own(own_.size());
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  for (Thread& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
  std::lock_guard lock(mutex_);
  std::swap(dropped, clients_);
  std::swap(dropped_own, own_);
  turns_.clear();
  weight_ = 0;
}

}  // namespace keelson
