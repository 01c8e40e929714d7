//! The DaemonSet that has every node pull a channel.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{Image, Label, ObjectName, Pinned, Toleration, dns_label, dns_labels, lanes};

/// How and where pods pull.
#[derive(Clone, Debug)]
pub struct Options {
    /// The namespace of the objects.
    pub namespace: Option<ObjectName>,
    /// The image of the container that keeps running, so that the kubelet's garbage collection keeps the others
    /// for a while.
    pub pause: String,
    /// Tolerations of the pods.
    pub tolerations: Vec<Toleration>,
    /// Labels a node must have.
    pub selector: Vec<Label>,
    /// Secrets with credentials for the registry.
    pub pull_secrets: Vec<ObjectName>,
    /// Pods on one node at once.
    pub parallel: usize,
}

/// Stands before an image's name, since no two containers of a pod have one name, and `pause` is taken.
const PULL: &str = "pull-";

/// Of the name of a container, and of the value of a label.
const LONGEST: usize = 63;

/// A DaemonSet for each lane of a channel's images.
pub fn daemon_sets(pinned: &Pinned, options: &Options) -> Vec<Value> {
    // Variants may have the same image; it is pulled once, under the name of the first.
    let mut seen = BTreeSet::new();
    let images: Vec<Image> = pinned
        .images
        .iter()
        .filter(|image| seen.insert(image.by_digest()))
        .cloned()
        .collect();
    let lanes = lanes(&images, options.parallel);
    let names = dns_labels(&images, LONGEST - PULL.len());
    // A DaemonSet's name becomes a part of its pods' names, and of a label.
    let stem = format!("laminate-prepull-{}", dns_label(&pinned.channel, 32));
    let numbered = options.parallel > 1;
    lanes
        .iter()
        .enumerate()
        .map(|(number, lane)| {
            let name = if numbered {
                format!("{stem}-{number}")
            } else {
                stem.clone()
            };
            let pulls = lane.images.iter();
            let pulls = pulls.map(|image| pull(&images[*image], &names[*image]));
            daemon_set(pinned, options, pulls.collect(), &name)
        })
        .collect()
}

fn daemon_set(pinned: &Pinned, options: &Options, pulls: Vec<Value>, name: &str) -> Value {
    // What the selector names can never be changed, so it names nothing that a release could change.
    let selected = json!({
        "app.kubernetes.io/name": "laminate-prepull",
        "app.kubernetes.io/instance": name,
    });
    let mut labels = selected.clone();
    labels["app.kubernetes.io/component"] = json!("prepull");
    labels["app.kubernetes.io/part-of"] = json!(dns_label(&pinned.channel, LONGEST));
    labels["app.kubernetes.io/managed-by"] = json!("laminate");
    let annotations = json!({
        "io.laminate.channel": pinned.channel,
        "io.laminate.release": pinned.release.as_str(),
    });
    let mut metadata = json!({ "name": name });
    if let Some(namespace) = &options.namespace {
        metadata["namespace"] = json!(namespace.to_string());
    }
    metadata["labels"] = labels.clone();
    metadata["annotations"] = annotations.clone();
    let mut pod = json!({
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "terminationGracePeriodSeconds": 0,
        "nodeSelector": selector(&pinned.images, &options.selector),
        "tolerations": options.tolerations.iter().map(Toleration::object).collect::<Vec<_>>(),
        "securityContext": {
            "runAsNonRoot": true,
            "runAsUser": UNPRIVILEGED,
            "runAsGroup": UNPRIVILEGED,
            "seccompProfile": { "type": "RuntimeDefault" },
        },
    });
    if !options.pull_secrets.is_empty() {
        let secrets = options.pull_secrets.iter();
        pod["imagePullSecrets"] = secrets
            .map(|secret| json!({ "name": secret.to_string() }))
            .collect();
    }
    pod["initContainers"] = json!(pulls);
    pod["containers"] = json!([{
        "name": "pause",
        "image": options.pause,
        "imagePullPolicy": "IfNotPresent",
        "resources": resources(),
        "securityContext": confined(),
    }]);
    json!({
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": metadata,
        "spec": {
            "selector": { "matchLabels": selected },
            // The pods serve no requests, so all nodes may begin at once.
            "updateStrategy": { "type": "RollingUpdate", "rollingUpdate": { "maxUnavailable": "100%" } },
            "template": {
                "metadata": { "labels": labels, "annotations": annotations },
                "spec": pod,
            },
        },
    })
}

/// Owns no file of any image.
const UNPRIVILEGED: u32 = 65534;

/// A container that ends as soon as its image is there. It assumes a shell in the image and nothing
/// else: not its user, not that its folder can be entered by another, not that anything can be written.
fn pull(image: &Image, name: &str) -> Value {
    json!({
        "name": format!("{PULL}{name}"),
        "image": image.by_digest(),
        "imagePullPolicy": "IfNotPresent",
        "command": ["/bin/sh", "-c", "exit 0"],
        "workingDir": "/",
        "resources": resources(),
        "securityContext": confined(),
    })
}

/// Little, and enough for a runtime to start a process in.
fn resources() -> Value {
    json!({
        "requests": { "cpu": "1m", "memory": "16Mi" },
        "limits": { "cpu": "100m", "memory": "32Mi" },
    })
}

/// With the pod's, this is what the "restricted" profile of the Pod Security Standards asks for.
fn confined() -> Value {
    json!({
        "allowPrivilegeEscalation": false,
        "readOnlyRootFilesystem": true,
        "capabilities": { "drop": ["ALL"] },
    })
}

/// The labels asked for, and what the images are for: an image of another machine would be pulled
/// there and not start.
fn selector(images: &[Image], asked: &[Label]) -> Value {
    let mut labels = Map::new();
    labels.insert("kubernetes.io/os".to_owned(), json!("linux"));
    let machines: BTreeSet<_> = images.iter().map(|image| &image.architecture).collect();
    if let [Some(machine)] = Vec::from_iter(machines).as_slice() {
        labels.insert("kubernetes.io/arch".to_owned(), json!(machine));
    }
    for label in asked {
        labels.insert(label.key.clone(), json!(label.value));
    }
    Value::Object(labels)
}
