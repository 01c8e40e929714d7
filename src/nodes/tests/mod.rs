//! Lanes, and the manifests of nodes and channels.

mod reported;

use super::*;

fn digest(name: &str) -> Digest {
    Digest::of(name.as_bytes())
}

/// An image of layers that are written `NAME=MEGABYTES`.
fn image(label: &str, layers: &[&str]) -> Image {
    let name = label.rsplit('/').next().expect("one part at least");
    Image {
        label: label.to_owned(),
        repository: Repository::parse(&format!("ghcr.io/campus/{name}")).expect("a repository"),
        tag: Tag::parse("stable").expect("a tag"),
        digest: digest(label),
        architecture: Some("amd64".to_owned()),
        layers: layers
            .iter()
            .map(|layer| {
                let (name, bytes) = layer.split_once('=').expect("NAME=MEGABYTES");
                Layer {
                    digest: digest(name),
                    bytes: bytes.parse::<u64>().expect("a number") * 1_000_000,
                }
            })
            .collect(),
    }
}

fn campus() -> Vec<Image> {
    vec![
        image("base", &["debian=50", "jupyter=400"]),
        image("r", &["debian=50", "jupyter=400", "r=900"]),
        image("science", &["debian=50", "jupyter=400", "numpy=700"]),
        image(
            "ml",
            &["debian=50", "jupyter=400", "numpy=700", "torch=3000"],
        ),
        image(
            "teach",
            &["debian=50", "jupyter=400", "numpy=700", "nbgrader=20"],
        ),
    ]
}

fn pinned(images: Vec<Image>) -> Pinned {
    Pinned {
        channel: "stable".to_owned(),
        release: digest("the release"),
        commit: Commit::parse("d0215700aa").ok(),
        images,
    }
}

fn options(parallel: usize) -> Options {
    Options {
        namespace: None,
        pause: "registry.k8s.io/pause:3.10".to_owned(),
        tolerations: Toleration::of_users(),
        selector: Vec::new(),
        pull_secrets: Vec::new(),
        parallel,
    }
}

/// Lanes in the words of labels, `base r | base science`.
fn lanes_of(images: &[Image], count: usize) -> String {
    let lanes = lanes(images, count);
    let words = lanes.iter().map(|lane| {
        let labels: Vec<&str> = lane
            .images
            .iter()
            .map(|image| images[*image].label.as_str())
            .collect();
        format!("{} {}", labels.join(" "), lane.bytes / 1_000_000)
    });
    words.collect::<Vec<_>>().join(" | ")
}

#[test]
fn sizes_without_a_sum_are_the_largest_number() {
    let mut images = campus();
    for layer in images.iter_mut().flat_map(|image| &mut image.layers) {
        layer.bytes = u64::MAX;
    }
    let lanes = lanes(&images, 2);
    assert!(lanes.iter().all(|lane| lane.bytes == u64::MAX), "{lanes:?}");
}

#[test]
fn an_image_is_pulled_behind_what_it_shares_layers_with() {
    let mut images = campus();
    assert_eq!(lanes_of(&images, 1), "base science teach r ml 5070");
    images.reverse();
    assert_eq!(lanes_of(&images, 1), "base science teach r ml 5070");
    assert_eq!(lanes_of(&[], 1), "");
}

#[test]
fn lanes_begin_with_what_they_share() {
    let images = campus();
    assert_eq!(
        lanes_of(&images, 2),
        "base science ml 4150 | base science teach r 2070"
    );
    assert_eq!(
        lanes_of(&images, 9),
        "base science ml 4150 | base r 1350 | base science teach 1170"
    );
    let apart = [image("a", &["x=1"]), image("b", &["y=2"])];
    assert_eq!(lanes_of(&apart, 2), "b 2 | a 1");
    // What they share has no image of its own, so the one brings it for the other.
    let siblings = [
        image("a", &["debian=50", "x=1"]),
        image("b", &["debian=50", "y=2"]),
    ];
    assert_eq!(lanes_of(&siblings, 2), "a b 53");
}

#[test]
#[expect(clippy::too_many_lines, reason = "the expected output, whole")]
fn every_node_pulls_a_channel() {
    let options = Options {
        namespace: Some("hub".parse().expect("a name")),
        selector: vec!["pool=users".parse().expect("a label")],
        pull_secrets: vec!["ghcr".parse().expect("a name")],
        ..options(1)
    };
    let images = campus().drain(..2).collect();
    let sets = daemon_sets(&pinned(images), &options);
    insta::assert_snapshot!(yaml(&sets), @r"
    apiVersion: apps/v1
    kind: DaemonSet
    metadata:
      name: laminate-prepull-stable
      namespace: hub
      labels:
        app.kubernetes.io/name: laminate-prepull
        app.kubernetes.io/instance: laminate-prepull-stable
        app.kubernetes.io/component: prepull
        app.kubernetes.io/part-of: stable
        app.kubernetes.io/managed-by: laminate
      annotations:
        io.laminate.channel: stable
        io.laminate.release: sha256:4251021511d429b74a9ffbefe55a150fb67af307a3ea6e2c0b6c6f6b97a0e7be
    spec:
      selector:
        matchLabels:
          app.kubernetes.io/name: laminate-prepull
          app.kubernetes.io/instance: laminate-prepull-stable
      updateStrategy:
        type: RollingUpdate
        rollingUpdate:
          maxUnavailable: 100%
      template:
        metadata:
          labels:
            app.kubernetes.io/name: laminate-prepull
            app.kubernetes.io/instance: laminate-prepull-stable
            app.kubernetes.io/component: prepull
            app.kubernetes.io/part-of: stable
            app.kubernetes.io/managed-by: laminate
          annotations:
            io.laminate.channel: stable
            io.laminate.release: sha256:4251021511d429b74a9ffbefe55a150fb67af307a3ea6e2c0b6c6f6b97a0e7be
        spec:
          automountServiceAccountToken: false
          enableServiceLinks: false
          terminationGracePeriodSeconds: 0
          nodeSelector:
            kubernetes.io/os: linux
            kubernetes.io/arch: amd64
            pool: users
          tolerations:
          - key: hub.jupyter.org/dedicated
            operator: Equal
            value: user
            effect: NoSchedule
          - key: hub.jupyter.org_dedicated
            operator: Equal
            value: user
            effect: NoSchedule
          securityContext:
            runAsNonRoot: true
            runAsUser: 65534
            runAsGroup: 65534
            seccompProfile:
              type: RuntimeDefault
          imagePullSecrets:
          - name: ghcr
          initContainers:
          - name: pull-base
            image: ghcr.io/campus/base@sha256:cae662172fd450bb0cd710a769079c05bfc5d8e35efa6576edc7d0377afdd4a2
            imagePullPolicy: IfNotPresent
            command:
            - /bin/sh
            - -c
            - exit 0
            workingDir: /
            resources:
              requests:
                cpu: 1m
                memory: 16Mi
              limits:
                cpu: 100m
                memory: 32Mi
            securityContext:
              allowPrivilegeEscalation: false
              readOnlyRootFilesystem: true
              capabilities:
                drop:
                - ALL
          - name: pull-r
            image: ghcr.io/campus/r@sha256:454349e422f05297191ead13e21d3db520e5abef52055e4964b82fb213f593a1
            imagePullPolicy: IfNotPresent
            command:
            - /bin/sh
            - -c
            - exit 0
            workingDir: /
            resources:
              requests:
                cpu: 1m
                memory: 16Mi
              limits:
                cpu: 100m
                memory: 32Mi
            securityContext:
              allowPrivilegeEscalation: false
              readOnlyRootFilesystem: true
              capabilities:
                drop:
                - ALL
          containers:
          - name: pause
            image: registry.k8s.io/pause:3.10
            imagePullPolicy: IfNotPresent
            resources:
              requests:
                cpu: 1m
                memory: 16Mi
              limits:
                cpu: 100m
                memory: 32Mi
            securityContext:
              allowPrivilegeEscalation: false
              readOnlyRootFilesystem: true
              capabilities:
                drop:
                - ALL
    ");
}

#[test]
fn lanes_are_sets_that_do_not_take_each_other_for_their_own() {
    let sets = daemon_sets(&pinned(campus()), &options(2));
    let text = yaml(&sets);
    let lines = text.lines().filter(|line| {
        let line = line.trim_start_matches([' ', '-']);
        line.starts_with("name:")
            || line.starts_with("app.kubernetes.io/instance")
            || line.is_empty()
    });
    insta::assert_snapshot!(lines.collect::<Vec<_>>().join("\n"), @r"
      name: laminate-prepull-stable-0
        app.kubernetes.io/instance: laminate-prepull-stable-0
          app.kubernetes.io/instance: laminate-prepull-stable-0
            app.kubernetes.io/instance: laminate-prepull-stable-0
          - name: pull-base
          - name: pull-science
          - name: pull-ml
          - name: pause
    ---
      name: laminate-prepull-stable-1
        app.kubernetes.io/instance: laminate-prepull-stable-1
          app.kubernetes.io/instance: laminate-prepull-stable-1
            app.kubernetes.io/instance: laminate-prepull-stable-1
          - name: pull-base
          - name: pull-science
          - name: pull-teach
          - name: pull-r
          - name: pause
    ");
}

#[test]
fn an_image_of_two_variants_is_pulled_once() {
    let mut images = vec![image("1/base", &["x=1"]), image("2/base", &["x=1"])];
    images[1].digest = images[0].digest.clone();
    let set = &daemon_sets(&pinned(images), &options(1))[0];
    let pulls = &set["spec"]["template"]["spec"]["initContainers"];
    assert_eq!(pulls.as_array().map(Vec::len), Some(1));
}

#[test]
fn images_of_two_architectures_select_no_architecture() {
    let mut images = campus();
    images[0].architecture = Some("arm64".to_owned());
    let set = &daemon_sets(&pinned(images), &options(1))[0];
    let selector = &set["spec"]["template"]["spec"]["nodeSelector"];
    assert_eq!(selector.to_string(), r#"{"kubernetes.io/os":"linux"}"#);
}

#[test]
fn users_choose_from_a_channel() {
    let images = vec![
        image("2021.2/base", &["x=1"]),
        image("2021.2/ml_big", &["x=1", "y=2"]),
    ];
    insta::assert_snapshot!(yaml(&[values(&pinned(images))]), @r"
    singleuser:
      image:
        name: ghcr.io/campus/base
        tag: stable@sha256:f9973cad7661b3304afcb45b6ca04b328a50c6e8fdf1f5940c7d179791fe9e92
      profileList:
      - display_name: base (2021.2)
        slug: base-2021-2
        description: ghcr.io/campus/base:stable, from commit d021570
        default: true
        kubespawner_override:
          image: ghcr.io/campus/base@sha256:f9973cad7661b3304afcb45b6ca04b328a50c6e8fdf1f5940c7d179791fe9e92
      - display_name: ml_big (2021.2)
        slug: ml-big-2021-2
        description: ghcr.io/campus/ml_big:stable, from commit d021570
        kubespawner_override:
          image: ghcr.io/campus/ml_big@sha256:b398409c5e0c33c2c8cb5c001df3eb90dc5a5642774c69a0b2c1e8f610beb1f3
    prePuller:
      extraImages:
        base-2021-2:
          name: ghcr.io/campus/base
          tag: stable@sha256:f9973cad7661b3304afcb45b6ca04b328a50c6e8fdf1f5940c7d179791fe9e92
        ml-big-2021-2:
          name: ghcr.io/campus/ml_big
          tag: stable@sha256:b398409c5e0c33c2c8cb5c001df3eb90dc5a5642774c69a0b2c1e8f610beb1f3
    ");
}

#[test]
fn names_are_legal_and_apart() {
    assert_eq!(dns_label("stable", 20), "stable");
    assert_eq!(dns_label("2021.2_A", 20), "2021-2-a-5de9f3");
    assert_eq!(dns_label("a-very-long-name-indeed", 14), "a-very-5aae9f");
    assert_eq!(dns_label("..", 14).len(), 6);
    let images = [image("a-1", &[]), image("1/a", &[]), image("a_1", &[])];
    let names = dns_labels(&images, 63);
    assert_eq!(names[0], "a-1");
    assert_eq!(BTreeSet::from_iter(&names).len(), 3, "{names:?}");
}

#[test]
fn labels_and_tolerations_are_checked() {
    let object = |text: &str| {
        let parsed = text.parse::<Toleration>();
        parsed.map_or_else(|e| e.to_string(), |t| t.object().to_string())
    };
    assert_eq!(
        object("a.b/c=d:NoSchedule"),
        r#"{"key":"a.b/c","operator":"Equal","value":"d","effect":"NoSchedule"}"#
    );
    assert_eq!(
        object("gpu:NoExecute"),
        r#"{"key":"gpu","operator":"Exists","effect":"NoExecute"}"#
    );
    assert_eq!(object("gpu"), r#"{"key":"gpu","operator":"Exists"}"#);
    insta::assert_snapshot!(
        ["gpu:Never", "=x", "a/b/c", "a=b c"].map(object).join("\n"), @r"
        use the effect NoSchedule, PreferNoSchedule or NoExecute
        use at most 63 letters, digits, `-`, `_` and `.` for the key, with a host name and `/` before it if needed
        use at most 63 letters, digits, `-`, `_` and `.` for the key, with a host name and `/` before it if needed
        use at most 63 letters, digits, `-`, `_` and `.` for the value
        ");
    for text in ["no", "=x", "a=é", "A/b=c"] {
        assert!(text.parse::<Label>().is_err(), "{text}");
    }
    assert!("Hub".parse::<ObjectName>().is_err());
}

#[test]
fn a_hostile_document_stays_in_its_strings() {
    let hostile = "x\n---\napiVersion: v1\nkind: Pod\n# '\"} \u{85}\u{2028}";
    let mut image = image("base", &["debian=50"]);
    hostile.clone_into(&mut image.label);
    image.architecture = Some(hostile.to_owned());
    let pinned = Pinned {
        channel: hostile.to_owned(),
        ..pinned(vec![image])
    };
    let manifests = daemon_sets(&pinned, &options(1));
    let values = values(&pinned);
    for documents in [manifests.as_slice(), std::slice::from_ref(&values)] {
        let text = yaml(documents);
        let (mut starts, mut kinds) = (0, Vec::new());
        let mut scalars = Vec::new();
        for event in granit_parser::Parser::new_from_str(&text) {
            match event.expect("YAML").0 {
                granit_parser::Event::DocumentStart(..) => starts += 1,
                granit_parser::Event::Scalar(text, ..) => scalars.push(text.into_owned()),
                _ => {}
            }
        }
        kinds.extend(scalars.iter().filter(|text| *text == "Pod"));
        assert_eq!((starts, kinds.len()), (documents.len(), 0), "{text}");
        assert!(scalars.iter().any(|text| text == hostile), "{text}");
    }
}
