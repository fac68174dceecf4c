// gateway_test: clients speak with three members through `keelson gateway` while one member after
// the other dies and comes back: writes go on, a watch misses nothing, and TLS, where the servers
// have it (KEELSON_TEST_TLS), is none of the gateway's business.

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>
#include <thread>

#include "base/text.h"
#include "tests/cluster/cluster.h"
#include "tests/harness/raw.h"
#include "tests/harness/tls.h"
#include "tests/proxy/process.h"

namespace keelson::cluster {
namespace {

struct Programs {
  std::string server, ctl;
};

class Journey {
 public:
  Journey(const Programs& programs, std::string work)
      : programs_(programs),
        work_(std::move(work)),
        cluster_({programs.server, programs.server, programs.server}),
        address_(harness::free_address()) {
    cluster_.start();
    std::string endpoints;
    for (int i = 0; i < 3; ++i) endpoints += cat(i > 0 ? "," : "", cluster_.at(i).client_url());
    gateway_ = std::make_unique<Process>(
        std::vector<std::string>{programs.server, "gateway", "start", "--listen-addr=" + address_,
                                 "--endpoints=" + endpoints, "--retry-delay=200ms"},
        work_ + "/gateway.log");
    cluster_.check(gateway_->says("ready to proxy client requests"), "the gateway starts");
  }

  bool run() {
    watch();
    std::thread writer([this] { write(); });
    for (int i = 0; i < 3 && cluster_.ok(); ++i) kill_and_start(i);
    over_ = true;
    writer.join();
    cluster_.check(last_acknowledged_ > 0, "something was written");
    check_watch();
    cluster_.expect_equal();
    end();
    return cluster_.ok();
  }

 private:
  std::vector<std::string> ctl(const std::vector<std::string>& arguments) const {
    std::vector<std::string> command = {programs_.ctl, "--endpoints=" + url()};
    if (const harness::TestTls* tls = harness::test_tls()) {
      command.push_back("--cacert=" + tls->certificate);
    }
    command.insert(command.end(), arguments.begin(), arguments.end());
    return command;
  }
  std::string url() const {
    return cat(harness::test_tls() == nullptr ? "http://" : "https://", address_);
  }

  // Each number, until it is acknowledged.
  void write() {
    harness::Client client(address_);
    etcdserverpb::PutRequest request;
    etcdserverpb::PutResponse response;
    request.set_key("count");
    for (int i = 1; !over_; ++i) {
      request.set_value(cat(i));
      while (!client
                  .unary("/etcdserverpb.KV/Put", request, &response,
                         {.deadline = Milliseconds(3000), .wait_for_ready = true})
                  .ok()) {
        if (over_) return;
      }
      last_acknowledged_ = i;
    }
  }
  void expect_progress(const std::string& what) {
    const int before = last_acknowledged_;
    cluster_.check(eventually([&] { return last_acknowledged_ > before + 20; }), what);
  }

  void kill_and_start(int i) {
    const std::string one = cluster_.at(i).address();
    keep_watching();
    expect_progress("writes go through");
    cluster_.at(i).kill();
    expect_progress(cat("writes go on without member ", i));
    // Connections go to the members in turn, so that one of three meets the dead one.
    for (int n = 0; n < 3; ++n) harness::RawConnection probe(address_);
    cluster_.check(gateway_->says(cat("\"deactivated endpoint\",\"address\":\"", one)),
                   "the gateway notices that " + one + " is gone");
    cluster_.check(cluster_.at(i).start(), "it comes back");
    cluster_.check(gateway_->says(cat("\"activated\",\"address\":\"", one)),
                   "the gateway notices that " + one + " is back");
  }

  void watch() {
    watch_ = std::make_unique<Process>(ctl({"watch", "count", "--rev=1"}), work_ + "/watch.log");
  }

  // One that came to a member without a leader has ended and said so: begun anew.
  void keep_watching() {
    if (watch_->text().find("etcdserver: no leader") != std::string::npos) watch();
  }

  // Every number that was acknowledged, in their order; one that was tried again perhaps twice.
  void check_watch() {
    const std::string last = cat("\n", last_acknowledged_.load(), "\n");
    const auto arrived = [&] {
      keep_watching();
      return watch_->text().find(last) != std::string::npos;
    };
    cluster_.check(eventually(arrived), "the watch gets to the end");
    std::istringstream lines(watch_->text());
    int seen = 0;
    for (std::string line; std::getline(lines, line);) {
      if (line.empty() || line.find_first_not_of("0123456789") != std::string::npos) continue;
      const int number = std::stoi(line);
      if (number != seen) cluster_.check(number == seen + 1, cat("behind ", seen, " comes ", line));
      seen = number;
    }
  }

  void end() {
    harness::RawConnection open(address_);
    cluster_.check(open.connected(), "a connection through the gateway");
    // Through, so that it is one that the gateway has to end.
    if (harness::test_tls() == nullptr) {
      open.send("GET /version HTTP/1.1\r\nHost: x\r\n\r\n");
      cluster_.check(open.receive_until("etcdserver").find("3.7") != std::string::npos,
                     "HTTP/1 goes through as well");
    }
    const std::optional<int> status = gateway_->end();
    cluster_.check(status && WIFSIGNALED(*status) && WTERMSIG(*status) == SIGTERM,
                   "the gateway ends, by the signal");
    open.receive_all();
    cluster_.check(open.ended(), "its connections end");
    cluster_.check(gateway_->text().find("\"msg\":\"shut down\"") != std::string::npos, "in order");
  }

  const Programs programs_;
  const std::string work_;
  Cluster cluster_;
  const std::string address_;
  std::unique_ptr<Process> gateway_, watch_;
  std::atomic<bool> over_ = false;
  std::atomic<int> last_acknowledged_ = 0;
};

int run(const Programs& programs) {
  std::string work = cat(std::filesystem::temp_directory_path().string(), "/keelson-gw-XXXXXX");
  if (::mkdtemp(work.data()) == nullptr) return 1;
  const bool good = Journey(programs, work).run();
  if (!good) {
    std::cout << "the gateway said:\n" << std::ifstream(work + "/gateway.log").rdbuf() << "\n";
  }
  std::filesystem::remove_all(work);
  std::cout << (good ? "ok\n" : "failed\n");
  return good ? 0 : 1;
}

}  // namespace
}  // namespace keelson::cluster

int main(int argc, char** argv) {
  keelson::cluster::Programs programs;
  CLI::App app("a cluster behind the TCP gateway");
  app.add_option("--server", programs.server, "the server")->required();
  app.add_option("--ctl", programs.ctl, "the client")->required();
  CLI11_PARSE(app, argc, argv);
  return keelson::cluster::run(programs);
}
