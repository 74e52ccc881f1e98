"""The declaration of the invented patients of audits, with everything that the models can be asked
for.
"""

from __future__ import annotations

from textwrap import dedent

DATASET = "audit_people"
DECLARATION = dedent("""\
    dataset: audit_people
    title: Invented patients for audits
    source: audit/people.py
    public: true
    layout: log
    population:
      name: audit_people
      universe: nobody who lives
      kind: simulated
      nominal_size: 200
      epsilon: 10.0
      delta: 1.0e-6
      ceiling_epsilon: 20.0
    tables:
      people:
        file: people
        key: [id]
        patient: id
        columns:
          id: {kind: id, role: key}
          sex: {kind: categorical, categories: [F, M], source: invented}
          site: {kind: categorical, categories: [breast, colon, lung], source: invented}
          stage:
            kind: ordinal
            categories: ["1", "2", "3"]
            nullable: true
            repairs: [unknown_to_missing]
            source: invented
          cost:
            kind: continuous
            lower: 0
            upper: 1000
            decimals: 1
            atoms: [0]
            nullable: true
            repairs: [out_of_bounds_to_missing]
            source: invented
          relapse: {kind: categorical, categories: ["no", "yes"], nullable: true, source: invented}
          joined: {kind: date, lower: 2012-01-01, upper: 2015-12-31, source: invented}
          left:
            kind: date
            role: rebuilt
            lower: 2012-01-01
            upper: 2020-12-31
            source: invented
            rule: the end of the pathway
          reason:
            kind: categorical
            role: rebuilt
            categories: &reasons [closed, moved]
            source: invented
            rule: the code of the end
      visits:
        file: visits
        patient: id
        max_rows: 30
        columns:
          id: {kind: id, role: key}
          date: {kind: date, lower: 2012-01-01, upper: 2020-12-31, source: invented}
          kind:
            kind: categorical
            categories: [DIAGNOSIS, SURGERY, REGIMEN, CYCLE, REGIMEN_END]
            source: invented
          code:
            kind: categorical
            categories: [mastectomy, colectomy, biopsy, A, B]
            nullable: true
            source: invented
          intent: &intent
            kind: categorical
            categories: [curative, palliative]
            nullable: true
            source: invented
          dose: &dose
            {kind: continuous, lower: 0, upper: 10, decimals: 1, nullable: true, source: invented}
    patients:
      columns:
        sex: {like: people.sex}
        site: {like: people.site}
        stage: {like: people.stage}
        cost: {like: people.cost}
        relapse: {like: people.relapse}
        joined: {like: people.joined}
    events:
      origin: joined
      anchor: DIAGNOSIS
      max_events: 20
      first: [DIAGNOSIS]
      lower_day: 0
      upper_day: 1500
      rows: {table: visits, date: date, type: kind, code: code}
      ending: {table: people, date: left, constant: LEFT, code: reason}
      treatments: [SURGERY, REGIMEN]
      types:
        DIAGNOSIS: {at_most: 1}
        SURGERY: {codes: [mastectomy, colectomy, biopsy], at_most: 3}
        REGIMEN: {codes: [A, B], attributes: [intent]}
        CYCLE: {inside: REGIMEN}
        REGIMEN_END: {closes: REGIMEN, attributes: [dose]}
        LEFT: {terminal: true, codes: *reasons, at_most: 1}
      attributes: {intent: *intent, dose: *dose}
      legal_codes:
        - type: SURGERY
          given: site
          allowed: {breast: [mastectomy, biopsy], colon: [colectomy, biopsy]}
      counted:
        - {parts: [site, stage, combination]}
        - {parts: [cost, wait]}
        - {parts: [stage, survival, end]}
        - {parts: [length]}
        - {parts: [order]}
        - {parts: [others]}
        - {parts: [count CYCLE]}
        - {parts: [after DIAGNOSIS]}
        - {parts: [before LEFT]}
        - {parts: [site, first SURGERY]}
        - {parts: [site, first REGIMEN]}
        - {parts: [before REGIMEN, first REGIMEN]}
        - {parts: [first REGIMEN, second REGIMEN]}
        - {parts: [holder intent, carrier intent, value intent]}
        - {parts: [value intent, again intent]}
        - {parts: [first REGIMEN, gap CYCLE]}
        - {parts: [first REGIMEN, later gap CYCLE]}
        - {parts: [picked before, picked after]}
        - {parts: [picked after, picked wait]}
        - {parts: [picked return SURGERY]}
        - {parts: [picked type, picked value dose]}
        - {parts: [site, picked value dose]}
        - {parts: [picked change dose]}
    targets: [relapse]
    quasi_identifiers: [sex, site]
    strata: [site]
    """)
