// readme_test: the commands that README.md gives for a cluster on one machine do what it says.

#include <stdlib.h>

#include <filesystem>
#include <iostream>

#include "base/text.h"
#include "tests/cluster/cluster.h"
#include "tests/harness/server_test.h"

namespace keelson::cluster {
namespace {

namespace fs = std::filesystem;

class Readme {
 public:
  explicit Readme(const std::string& binary)
      : bin_(fs::absolute(binary).parent_path()), cluster_({binary, binary, binary}) {
    std::string pattern = "/tmp/keelson-readme-XXXXXX";
    home_ = mkdtemp(pattern.data());
    std::string ports;
    for (int i = 0; i < 3; ++i) {
      const std::string client = cluster_.at(i).address(), peer = cluster_.at(i).peer_url();
      ports += cat(i == 0 ? "" : " ", client.substr(client.rfind(':') + 1), " ",
                   peer.substr(peer.rfind(':') + 1));
      endpoints_ += cat(i == 0 ? "" : ",", client);
    }
    setenv("KEELSON_BIN", bin_.c_str(), 1);
    setenv("KEELSON_CLUSTER_DIR", home_.c_str(), 1);
    setenv("KEELSON_PORTS", ports.c_str(), 1);
  }
  ~Readme() {
    run("scripts/three-members stop");
    std::error_code ignored;
    fs::remove_all(home_, ignored);
  }

  int run_all() {
    if (!fs::exists(bin_ / "keelctl")) return harness::kSkipped;
    expect("scripts/three-members start");
    expect("scripts/three-members kill-leader");
    cluster_.check(eventually([&] { return put(); }), "keelctl put, without the leader");
    expect("scripts/three-members start");
    cluster_.check(put(), "keelctl put, with all");
    return cluster_.ok() ? 0 : 1;
  }

 private:
  bool run(const std::string& command) {
    return std::system(cat("cd ", KEELSON_SOURCE_DIR, " && ", command).c_str()) == 0;
  }
  void expect(const std::string& command) { cluster_.check(run(command), command); }
  bool put() {
    return run(cat(bin_.string(), "/keelctl --endpoints ", endpoints_, " put still here"));
  }

  const fs::path bin_;
  Cluster cluster_;  // for its ports
  std::string home_, endpoints_;
};

int run(const std::string& binary) { return Readme(binary).run_all(); }

}  // namespace
}  // namespace keelson::cluster

int main(int argc, char** argv) {
  return keelson::harness::server_test(argc, argv, "What README.md says of clusters.",
                                       keelson::cluster::run);
}
